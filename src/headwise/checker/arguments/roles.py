"""What an argument is, by its name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

# what arguments hold several matrices or biases in one, in this order
FUSED = {
    "Wqkv": ("Wq", "Wk", "Wv"),
    "bqkv": ("bq", "bk", "bv"),
    "Wkv": ("Wk", "Wv"),
    "Wqk": ("Wq", "Wk"),
    "bkv": ("bk", "bv"),
    "qkv": ("q", "k", "v"),
    "kv": ("k", "v"),
}

# names of a cache of keys and values, in small letters
CACHE = re.compile(r"(kv_?|key_value_?|layer_?)?(cache|past)(_?(kv|key_?values?))?s?")

_SMALL_GREEK = {"ω": "omega", "φ": "phi", "θ": "theta", "β": "beta", "ϕ": "phi", "α": "alpha", "ψ": "psi"}
_OTHER_SCRIPT = re.compile(r"[\u0370-\u1dff\u2e80-\uffdc]")
_GREEK = str.maketrans(_SMALL_GREEK | {letter.upper(): name for letter, name in _SMALL_GREEK.items()})

# words of German, French, Spanish, Portuguese and Italian courses, without accents; each may follow a “w” or “b”
_WORDS = {
    "query": "anfragen? abfragen? requetes? consultas? richiest[ae] interrogazion[ei]",
    "key": "schluessel schlussel cles? claves? llaves? chaves? chiav[ei]",
    "value": "werte? valeurs? valor(?:es|e|i)?",
    "inputs": "eingaben? entrees? entradas? ingress[oi]",
    "out": "ausgaben? sorties? salidas? uscit[ae]",
    "heads": "koepfe kopfe tetes cabezas cabecas",
    "num": "anzahl nombre numero",
    "mask": "masken? masques? mascaras? maschera",
    "weight": "gewichte? poids pesos? pesi",
    "lengths": "laengen? langen? longueurs? longitud(?:es)? comprimentos? lunghezz[ae]",
}
_TRANSLATIONS = [(re.compile(rf"([wb]?)(?:{'|'.join(words.split())})"), word) for word, words in _WORDS.items()]

# names in small letters and without underscores
_ROLES = {
    "X": "x xs input inputs embedding embeddings hiddenstates hidden seq sequence data inputembeddings inputs embeds"
    " decoderstates decoderhiddenstates decoderinput decoderinputs decoderoutput decoderstate decout decoutput tgt"
    " target targets latents latent inputx tokenembeddings inputsequence features inp tokenstates targetstates"
    " allx xall",
    "context": "context memory keyvalue keyvalues"
    " encoderhiddenstates encoderoutput encoderoutputs encout encoutput cond conditioning"
    " y kv xkv keyvaluestates crossattentionstates contextstates memorybank source src z encoderstates ctx"
    " kvx contexttokens"
    " encsrc srcenc encoderinput encoderinputs encoderstate encstates encodings encoded enc contexts contextvectors"
    " memories mem mems xa xenc xcond sourcestates keyvalueinput kvinput xcontext contextinput",
    "q": "q query queries qs qx xq qinput",
    "k": "k key keys ks",
    "v": "v value values vs",
    "heads": "heads numheads nheads nhead nh head numhead headcount numberofheads numattentionheads nhd hnum"
    " nqheads numqheads nqueryheads numqueryheads qheads queryheads hq",
    "key_heads": "kvheads numkvheads nkvheads numkeyvalueheads nkv nkvhead numkvgroups nkvgroups numgroups ngroups"
    " groups kvh hkv numkeyheads kvnumheads numqueriesgroups numquerygroups",
    "repeats": "nrep nreps numrep repeats repeat groupsize numkeyvaluegroups headspergroup queriesperkv repeatfactor",
    "items": "batchsize bsz bs numseqs nseqs numsequences nbatch numbatches",
    "mask": "mask attnmask attentionmask visible keep allowed srcmask tgtmask validmask causalmask visibility hidden"
    " causalattentionmask causalattnmask"
    " blocked ignore ignored hide excluded forbidden"
    " memorymask selfattnmask adj adjacency adjacencymatrix adjmatrix adjmat",
    "padding": "keypaddingmask paddingmask padmask srckeypaddingmask srcpaddingmask tgtkeypaddingmask keymask kvmask"
    " encoderpaddingmask memorykeypaddingmask padding ispadding inputmask tokenmask seqmask encoderattentionmask"
    " xmask maskkv validtokens contextmask keypadding keyvalid valid isvalid nonpad nonpadding pad ispad exists"
    " present presence alive isreal ispresent exist",
    "mask function": "maskmod maskfn maskfunction",
    "bias function": "scoremod scorefn",
    "bias": "bias attnbias attentionbias positionbias relativepositionbias relposbias posbias relbias alibi alibibias"
    " relativepositionbiastable relposbiastable biastable relbiastable relativebiastable relativebias rpb rpbtable"
    " relpostable reltable relativetable relativepositiontable positionbiastable positiontable relpos distancebias"
    " table biasembedding relativeattentionbias relattnbias relbiasweight relattentionbias",
    "bucket count": "numbuckets nbuckets relativeattentionnumbuckets",
    "longest distance": "maxdistance relativeattentionmaxdistance maxrelativeposition maxrelpos maxdist",
    "causal": "causal iscausal usecausalmask usecausal causalmasking",
    "window": "window slidingwindow windowsize localwindow attentionwindow radius bandwidth lookback attentionspan"
    " attnspan halfwindow halfwidth windowradius localradius halfwindowsize",
    "left": "left windowleft nleft numleft leftcontext leftwindow wleft windowsizeleft leftsize",
    "right": "right windowright nright numright rightcontext rightwindow wright windowsizeright rightsize lookahead",
    "align": "align alignment",
    "lengths": "validlen validlength lengthsk seqlenk",
    "offset": "offset pastlen pastlength startpos queryoffset cachelen positionoffset pastkeyvalueslength qoffset",
    "place": "pos position cacheindex cachepos cacheposition curpos currentpos inputpos curlen curlength writepos index"
    " cacheoffset cacheupdateindex step",
    "positions": "positionids posids positions tokenpositions positionid tokenpositionids",
    "pages": "blocktables blocktable pagetables pagetable blockindices pageindices kvindices blockids pageids",
    "index": "relativepositionindex relpositionindex relposindex relindex relidx relativeindex relativeidx rpi rpeindex"
    " biasindex biasidx positionindex relativecoordsindex relposidx",
    "segments": "segmentids segmentid segments documentids docids seqids sequenceids sampleids qsegmentids",
    "starts": "cuseqlens cuseqlensq cuseqlen cumulativeseqlens cumseqlens seqoffsets",
    "key_starts": "cuseqlensk cuseqlenskv",
    "longest": "maxseqlen maxseqlenq maxlen maxlength",
    "longest_key": "maxseqlenk maxseqlenkv",
    "prefix": "prefixlen prefixlength prefixsize numprefix nprefix prefixtokens numprefixtokens prefixlens"
    " prefixlengths",
    "logscale": "logitscale logscale loglogitscale",
    "scale": "scale scaling softmaxscale smscale beta invtemperature inversetemperature invtemp inversetemp"
    " scalefactor",
    "topk": "topk ktop topkkeys numtopk topn ksparse sparsek numkeep keeptop",
    "temperature": "temperature temp tau",
    "slopes": "slopes slope alibislopes alibislope alibim headslopes",
    "softcap": "softcap logitcap logitsoftcap logitssoftcap softcapping attnlogitsoftcapping cap"
    " tanhclip tanhclipping logitclip",
    "sinks": "sinks sink attentionsink attentionsinks saux sinklogits",
    "cos": "cos rotarycos ropecos freqscos coscached cosemb",
    "sin": "sin rotarysin ropesin freqssin sincached sinemb",
    "freqs": "freqscis freqs freqscomplex cis rotaryfreqs ropefreqs rotaryfreqscis pe rope rotaryemb freqci",
    "grid": "gridsize grid hw gridshape spatialshape gridhw patchgrid spatialshapes",
    "interleaved": "interleaved ropeinterleaved rotaryinterleaved",
    "tokens": "tokens orientation tokenaxis",
    "weights?": "returnweights needweights returnattention returnattn returnattentionweights outputattentions"
    " returnattentionscores returnattnweights",
    "d": "d dk headdim dhead dkey keydim sqrtdk dimk querypreattnscalar",
    "dtype": "dtype outdtype outputdtype computedtype",
    "D": "dmodel embeddim modelwidth modeldim",
    "Wqkv": "wqkv qkv qkvweight qkvproj inprojweight inproj cattn qkvw weightqkv qkvkernel wattn omegaqkv qkvweights"
    " qkvpacked packedqkv qkvs mixedqkv mixedqkvlayer qkvtensor fusedqkv qkvfused",
    "bqkv": "bqkv qkvbias inprojbias biasqkv qkvb betaqkv",
    "Wkv": "wkv kvweight kvproj kvw weightkv kvkernel tokv kvweights omegakv",
    "bkv": "bkv kvbias biaskv kvb betakv",
    "Wqk": "wqk qkw qkweight qkweights qkproj qkkernel weightqk toqk omegaqk",
    "Wo": "omegac wc omegao cproj wproj projw projweight",
    "bo": "betac bc bproj projb projbias",
    "params": "params parameters weight weights theta ws w projections matrices weightdict",
}
_OF_QUERIES = re.compile(r"(q|query|queries)(?!key)(masks?$|.*(pad|valid|keep))")  # masks that hide rows of the output
_ROLE = {name: role for role, names in _ROLES.items() for name in names.split()}

_PART = {"query": "q", "queries": "q", "key": "k", "keys": "k", "value": "v", "values": "v", "out": "o", "output": "o"}
_LETTER = "(queries|query|keys|key|values|value|output|out|[qkvo0])"
_MATRIX = re.compile(
    rf"^(?:(?:w|p(?!os)|omega|phi|theta|weights?|matrix|mat|m|u|to|linear|fc|proj|projection|kernel|psi)s?{_LETTER}"
    rf"(?:weights?|proj(?:ection)?|kernel|matrix|mat|heads?|list|stack|all|s)?"
    rf"|{_LETTER}(?:weights?|w|proj(?:ection)?s?|kernel|matrix|mat|linear|heads?|stacks?|projw|projweights?))(\d*)$"
)
_BIAS = re.compile(rf"^(?:(?:b|beta|bias)(?:e?s)?{_LETTER}s?|{_LETTER}(?:b|bias|projbias))(\d*)$")

_PROJECTED = re.compile(
    r"^(?:x|in|input|my|new|cur|current)?(query|queries|key|keys|value|values|q|k|v)"
    r"(?:s|states?|layer|heads?|proj|projected|tensor|vectors?|matrix|mat|seq|input|in|t|new|cur|current)?$"
)

# names of which there are too many to list
_EARLIER = r"(past|prev(ious)?|old|cached?|prior|earlier|stored|history|prefix|prompt|mem(ory)?|sofar|before)"
_WEIGHT = r"(w|weights?|kernel|mat(rix)?)"
_LAYER = r"(proj(ection)?|layer|lin(ear)?|fc|dense|net)"
_PATTERNS = {
    "Wqkv": re.compile(rf"(cattn|qkv|inproj)(proj)?{_WEIGHT}|(to|{_LAYER})qkv|qkv{_LAYER}"),
    "bqkv": re.compile(r"(cattn|qkv|inproj)(proj)?(b|bias)"),
    "Wo": re.compile(rf"(c|o|out|att|attn|attention)proj{_WEIGHT}"),
    "bo": re.compile(r"(c|o|out|att|attn|attention)proj(b|bias)"),
    "lengths": re.compile(r"(?!max|min)\w*(lens|lengths)|valid\w*len(gth)?"),
    "softcap": re.compile(r"(attn|attention)?(logits?)?softcap\w*"),
    **{
        f"{x}past": re.compile(rf"{_EARLIER}({x}|{words}s?)(cache|states?)?|({x}|{words}s?){_EARLIER}")
        for x, words in (("k", "key"), ("v", "value"))
    },
    "window": re.compile(r"(sliding|local|attn|attention)window(size|len(gth)?)?"),
    "padding": re.compile(
        r"(text|words?|tokens?|src|source|context|ctx|enc(oder)?|mem(ory)?|key|kv|seq|inputs?|cond|caption|prompt|audio)"
        r"(is)?pad(ding|ded)?"
    ),
    "gain": re.compile(r"(q|k|query|key|qk)(ln|rms|layer|rmsnorm|norm)?(gain|gamma|norm|normweight|normscale|normw|g)"),
}

# what is passed for an argument so that there is no dropout, no training and no output beyond the attention
_NO_DROPOUT = (
    "dropout dropoutp dropoutrate attndropout attentiondropout pdropout dropoutprob attndropoutp pdrop dropp droprate"
)
FLAGS: dict[str, object] = {
    **dict.fromkeys(_NO_DROPOUT.split(), 0.0),
    "training": False,
    "train": False,
    "istraining": False,
    "deterministic": True,
    "enablegqa": True,  # as torch's, which does nothing where there are as many key heads
    **dict.fromkeys(["dropoutkey", "dropoutrng", "rng", "prngkey", "rngkey", "randomkey", "prng"]),  # for dropout
    "inference": True,
    **dict.fromkeys(["scaleattnweights", "scaleattn", "usescale", "usescaling", "scaled", "doscale"], True),
    **dict.fromkeys(["maskedbias", "maskvalue", "maskfill", "maskfillvalue", "fillvalue", "neginf", "bigneg"], -1e9),
    "verbose": False,
    "debug": False,
}

# the tokens of a decoder, which attend, and those of an encoder, to which they attend
_ARRAY = r"(?:hidden|states?|inputs?|outputs?|out|in|seq|sequence|tokens?|emb\w{0,7}|feat\w{0,5}|x|vecs?|vectors?)+"
_DECODER, _ENCODER = (
    r"(?:dec|decoder|tgt|target|trg)",
    r"(?:enc|encoder|encoded|src|source|ctx|context|mem|memory|cond)",
)
_TOKENS = {
    "X": re.compile(rf"{_DECODER}(?:{_ARRAY})?|x{_DECODER}"),
    "context": re.compile(rf"(?:{_ENCODER}|kv){_ARRAY}|x{_ENCODER}|(?:{_ENCODER}|{_ARRAY})kv"),
    **{
        x: re.compile(_ARRAY + word)
        for x, word in (("q", "(?:q|query|queries)"), ("k", "(?:k|keys?)"), ("v", "(?:v|values?)"))
    },
}


def tokens_among(names: Iterable[str]) -> tuple[str, list[str]]:
    """Which of several arguments of tokens is X, and which are contexts: what attends is X, else the first is."""
    names = list(names)
    first = next(
        (name for name in names if re.search(r"latent|quer|tgt|target|dec|cls|class_?tok|^state|^xi$", name.lower())),
        names[0],
    )
    return first, [name for name in names if name != first]


def separate(names: Iterable[str]) -> set[str]:
    """The names with the parts of those that hold several arrays in their place."""
    return {part for name in names for part in FUSED.get(name, (name,))}


@cache
def normalize(name: str) -> str:
    """A name in small Latin letters and digits, with its words in English.

    Examples
    --------
    >>> normalize("W_q"), normalize("Ω_c"), normalize("W_Schlüssel"), normalize("n_têtes")
    ('wq', 'omegac', 'wkey', 'nheads')
    """
    plain = unicodedata.normalize("NFKD", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).translate(_GREEK)).lower()
    words = re.findall(r"[a-z]+|[0-9]+", re.sub(r"[\u0300-\u036f]", "", plain))
    return "".join(map(_in_english, words))


def _in_english(word: str) -> str:
    for pattern, translation in _TRANSLATIONS:
        if match := pattern.fullmatch(word):
            return f"{match[1]}{translation}"
    return word


def role_of(name: str) -> str | None:
    """Return the reference's name for an argument, None if its name does not say what it is.

    The matrix of one head is ``"Wq#2"`` for ``W_q2``; an argument that only needs a neutral value is ``"=name"``.
    """
    if name in ("tok", "toks"):  # no to_k
        return "X"
    plain = normalize(name)
    if _OTHER_SCRIPT.search(name.translate(_GREEK)):
        return None  # the Latin letters next to other scripts may stand for anything
    for pattern, letter in ((_MATRIX, "W"), (_BIAS, "b")):
        if match := pattern.match(plain):
            part, number = match[1] or match[2], match[3]
            part = _PART.get(part, part).replace("0", "o")
            return f"{letter}{part}" + (f"#{int(number)}" if number else "")
    if plain in FLAGS:
        return f"={plain}"
    if plain in _ROLE:
        return _ROLE[plain]
    if match := _PROJECTED.match(plain):
        return _PART.get(match[1], match[1])
    for role, pattern in (*_TOKENS.items(), *_PATTERNS.items()):
        if pattern.fullmatch(plain):
            return role
    if re.search(r"(?<!head)(?<!block)(?<!dropout)(?<!drop)masks?$", plain) and not _OF_QUERIES.match(plain):
        return "padding" if "pad" in plain or plain.startswith("key") else "mask"
    return None


def is_adjacency(name: str) -> bool:
    """Whether a mask is the adjacency matrix of a graph, by its name: what is an edge may be seen."""
    return bool(re.fullmatch(r"a|adj\w*|(graph|edges?|neighbou?r(s|hood)?)(_?(mask|matrix))?", name.lower()))


def is_matrix(name: str) -> bool:
    """Whether an argument is the matrix or the bias of a projection."""
    return name[0] in "Wb" and name[1:] in ("q", "k", "v", "o")
