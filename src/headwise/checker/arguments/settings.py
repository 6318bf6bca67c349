"""The size that a setting gets by its name, where a class is made to be checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SIZES = {"model": 12, "heads": 3, "key_heads": 3, "width": 4, "values": 4, "context": 10, "length": 16}
WIDE = SIZES | {"model": 64, "heads": 4, "key_heads": 4, "width": 16, "values": 16}  # for a norm of 32 groups
VALUES = SIZES | {"values": 6}  # for a class whose values may be of another width than its queries
GROUPED = SIZES | {"model": 24, "heads": 6, "key_heads": 2}  # for a class that has fewer key heads than query heads
# for a class that is right so far: more of everything, also of tokens, on which code may branch
OTHERS = SIZES | {"model": 32, "heads": 4, "key_heads": 4, "width": 8, "values": 8, "length": 128}
SIZED = frozenset(
    {"model", "heads", "width", "values", "length", "context", "dropout", "softcap", "items"}
)  # these are set even with a default

# names of arguments that are a configuration
CONFIG = re.compile(r"(\w*_)?(config|cfg|conf|args|params|hparams|hp|opts?|configuration|options|settings|c)")

_VALUES = {
    "dropout": 0.25,
    "rank": 10,
    "turned": 4,
    "unturned": 4,
    "bias": True,
    "eps": 1e-5,
    "layer": 0,
    "causal": True,
    "batch_first": True,
    "base": 1e4,
    "device": "cpu",
    "window": 4,
    "buckets": 32,
    "distance": 128,
    "implementation": "eager",
    "part": 0.5,
    "softcap": 5.0,
    "queries": 4,
    "cross": False,
    "items": 8,
}

# names in small letters and without underscores; a regular expression where there are too many to list
_PATTERNS = {
    "rank": r"(kv|q)?lorarank|(kv|q)?(latent|compress\w*|down)(dim|size|rank)|d(dim)?c|rank",
    "turned": r"(qk)?ropeheaddim|(d|dim)rope|ropedim|dh?r|rot(ary)?(emb)?n?dims?",
    "unturned": r"(qk)?nopeheaddim|(d|dim)nope|nopedim",
    "bias": r"(use|qkv|kqv|with|add|has|enable|attn|attention|proj|qk|out)*bias(es)?",
    "dropout": r"(attn|att|attention|proj|resid|residual|out|hidden|embd|qkv|weight|probs)*"
    r"(drop|dropout|pdrop|dropp|dropoutp|dropoutrate|droprate|dropoutprob|dropprob|pdropout|dropoutratio)|p",
    "key_heads": r"(n|num)?(local)?(kv|keyvalue|key)(num)?(heads?|groups)|(n|num|h)kv|(n|num)(query)?groups?",
    "heads": r"(n|num|nb|no)?(of)?(local|attn|attention|self|q|query|num|number)*(of)?heads?(count|num)?|h|nh|hq",
    "eps": r"(layernorm|norm|rmsnorm|ln)?(eps|epsilon)",
    "layer": r"(layer|block)(idx|id|index|number|num)",
    "base": r"(rope|rotary|rotaryemb)?(theta|base)",
    "part": r"rotary(pct|percent\w*)|partialrotary(factor)?|rope(pct|percent\w*)",
    "model": r"(in|inp|out|oup|c|query|dim|ch)(in|out|chs?|chans?|chns|channels?|c|planes|feats?|nc)|inp|oup|nc",
    "causal": r"(is|use)?(causal|masked|autoregressive|causalmask|masking)",
    "softcap": r"(attn|attention)?(logits?)?(soft)?cap(ping)?",
    "window": r"(sliding|local|attn|attention)*window(size|len|length|width)?",
    "queries": r"(n|num|number)?(of)?(seeds?|latents?|queries|querytokens|probes|inducing\w*|inds|outputs)|latentlen",
    "cross": r"(is)?cross(attention|attn)|isdecoder",
    "items": r"max(batchsize|batches|batch|bs|bsz)",
    "temperature": r"temp(erature)?",
    "scale": r"(attn|attention|softmax|sm|qk)?(scale|scaling)(factor)?",
    "values": r"(d|dim)(v|values?)|(v|value|values)(headdim|width|dim|size|channels)|valuedepth|dvalues?",
    "width": r"(head|d|dim|size|dimper|key|value|qk|attentionhead)(head|dim|size|width|features|channels|key|value|keys"
    r"|values)|(d|dim|n|h)(k|q|v|kv|qk|kq)|attn(chans?|channels?)|hd|hs|headd|nhid|querypreattnscalar",
}
_WORDS = {
    "batch_first": "batchfirst",
    "device": "device dev",
    "buckets": "relativeattentionnumbuckets numbuckets nbuckets",
    "distance": "relativeattentionmaxdistance maxdistance",
    "implementation": "attnimplementation",
    "length": "block blocksize blocklen ctx nctx ctxlen contextlen contextlength contextsize context ncontext maxlen"
    " maxlength length seqlen seqlength seq sequencelength maxseqlen maxseqlength maxsequencelength npositions"
    " maxpositionembeddings maxpositions numpatches npatches numtokens ntokens maxtokens chunksize maxcontextlength t"
    " maxt seqmax seqlenmax tokens maxpos len",
    "context": "contextdim dcontext ctxdim crossdim crossattentiondim dimcontext dcross kdim vdim kvdim keysize"
    " valuesize encdim encoderdim memorydim memdim conddim kvinputdim dctx dimkv sourcedim dmemory denc"
    " encoderhiddensize contextchannels",
    "model": "dmodel modeldim modelsize model nembd nembed embd embed embeddim embedsize embsize embdim embeddingdim"
    " embeddingsize embedding emb e k d c dim dims hiddensize hiddendim hiddens numhiddens hiddenunits hiddim hidden"
    " width state nstate channels channel numchannels nchannels features nfeatures numfeatures infeatures inchannels"
    " inchannel inputdim inputsize indim din dimin insize querydim querysize qdim size units inputchannels chin nf"
    " ni nin ninputs ninput embeddims tokendim featuredim inplanes planes outdim dout dimout outputdim outfeatures"
    " outchannels outputsize projdim qkvdim qkvfeatures outsize attndim innerdim dmod ninp dx dimembed nhidden nx",
}
# names of widths that are on no list, for arguments that have no default
_OF_CONTEXT = re.compile(
    r"visual|vision|image|img|media|text|cond|enc|memory|context|ctx|source|src|cross|kv|other|^[cd][kv]$"
)
_WIDTH = re.compile(r"\w*(dims?|size|channels?|chans?|width|features?|feats?|units|planes)|(dim|size|width|ch)\w*")
_SHORT_WIDTH = re.compile(r"[cd]_\w+")  # as in AlphaFold
_FLAGS = ("is_", "use_", "has_", "do_", "add_", "enable_", "allow_", "output_", "log_", "return_", "save_", "need_")
_WRITTEN_OUT = {"dimensions": "dim", "dimension": "dim", "probability": "prob"}
_ROLE = {word: role for role, words in _WORDS.items() for word in words.split()}


def role_of_setting(name: str) -> str | None:
    """What a setting is; None for a name that does not say."""
    plain = name.lower().replace("_", "").replace("-", "")
    for word, short in _WRITTEN_OUT.items():
        plain = plain.replace(word, short)
    if plain in _ROLE:
        return _ROLE[plain]
    return next((role for role, pattern in _PATTERNS.items() if re.fullmatch(pattern, plain)), None)


def keys_looked_up(name: str, code: str) -> list[str]:
    """The attributes and keys that some code looks up in a configuration."""
    return re.findall(rf"\b{name}(?:\.|\[['\"]|\.get\(['\"])(\w+)\b(?!\()", code)


def holds_sizes(name: str, code: str) -> bool:
    """Whether some code looks up a number of heads or a width in an argument."""
    return not {"heads", "width", "model"}.isdisjoint(map(role_of_setting, keys_looked_up(name, code)))


def divides_heads(name: str, code: str) -> bool:
    """Whether some code divides a number of heads by this setting, which is the number of key heads then."""
    heads = r"\b(n|num|nb|number_of)?_?(q|query|attn|attention)?_?heads?"
    return bool(re.search(rf"{heads}\s*//\s*(\w+\.)*{name}\b", code)) and role_of_setting(name) == "heads"


def value_of_setting(name: str, sizes: Mapping[str, int], code: str = "") -> Any:
    """The value of a setting of some code; None for a name that does not say what it is."""
    role = "key_heads" if divides_heads(name, code) else role_of_setting(name)
    return None if role is None else sizes.get(role, _VALUES.get(role))


def guessed_value(name: str, sizes: Mapping[str, int]) -> int | None:
    """The value of a setting without default whose name only says that it is a width or a flag; else None."""
    if name.startswith(_FLAGS):
        return False
    plain = name.lower().replace("_", "")
    if not (_WIDTH.fullmatch(plain) or _SHORT_WIDTH.fullmatch(name.lower())):
        return None
    return sizes["context" if _OF_CONTEXT.search(plain) else "model"]


class Settings(dict[str, Any]):
    """A configuration that gives each setting a value by its name, as an attribute or as an item."""

    def __init__(self, sizes: Mapping[str, int], **values: Any) -> None:
        super().__init__(values)
        self._sizes = sizes

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __missing__(self, name: str) -> Any:
        value = None if name.startswith("__") else value_of_setting(name, self._sizes)
        if value is None and name.startswith(_FLAGS):
            value = False
        if value is None:
            raise KeyError(name)
        self[name] = value
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """As a dict's, with the values that names give."""
        try:
            return self[name]
        except KeyError:
            return default
