"""What a function says about its arguments: in its docstring, its comments, its annotations and its unpacked shapes."""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from headwise.checker.arguments.mask_words import YES, polarity
from headwise.checker.arguments.packed import LAYOUTS
from headwise.checker.arguments.roles import normalize, role_of
from headwise.checker.arguments.windows import meaning_of_window
from headwise.checker.user_code.source import class_members, nodes_in, nodes_of, parse

_AXES = {
    "B": "b bs bsz batch batchsize batches nbatch nbatches items",
    "H": "h heads head numheads nheads nhead nh numhead attentionheads numattentionheads hn hq hkv hk",
    "N": "n t s l m tokens token seq length len seqlen seqlength sequence sequencelength time steps qlen klen tgtlen"
    " srclen tgt src numtokens ntokens total totaltokens nnz nseq queries keys lq lk tq tk nq nk contextlength ctx"
    " positions words q qseq kseq kvseq",
    "D": "d c e k v f dim features width channels hidden embed dmodel headdim dk dv dh hd embeddim embeddingdim"
    " modeldim emb nembd hiddendim hiddensize dhead depth din ninput featuredim embedding dimension embdim units size",
}
_AXIS = {name: axis for axis, names in _AXES.items() for name in names.split()}
_WHOSE = re.compile(r"^(qk|kv|query|key|value|[qkv])(?=\w{3})|(?<=\w{3})(query|key|value|[qkv])$|(?<=\w{3})perhead$")
_LAYOUTS = {
    "attention": ("BHNd", "BNHd", "BNdH", "HNd", "NHd", "NdH", "BNd", "NBd", "BHdN", "BdN", "Nd", "dN"),
    "tokens": ("BND", "NBD", "BDN", "ND", "DN"),
}

_IN = r"(in|d_?in|in_?features|inputs?|features?_in|d_?model|model_?dim|embed(ding)?_?dim|n_?embd|hidden(_size|_dim)?)"
_OUT = (
    r"(out|d_?out|out_?features|outputs?|features?_out|d_?k|d_?v|d_?q|d_?head|head_?dim|d_?attn|h\s*\*\s*d\w*|"
    r"n_?heads?\s*\*\s*\w+)"
)
_IN_OUT = re.compile(rf"[\(\[]\s*{_IN}\s*,\s*{_OUT}\s*[\)\]]", re.IGNORECASE)
_OUT_IN = re.compile(rf"[\(\[]\s*{_OUT}\s*,\s*{_IN}\s*[\)\]]|nn\.Linear", re.IGNORECASE)

_PRODUCT = re.compile(
    r"(?:@\s*|\bdot\(\s*(?:[\w.]+\s*,\s*)?|\bmatmul\(\s*[\w.]+\s*,\s*)(\w+)(?:\[[^\]]*\])?(\.T\b|\.transpose|\.swapaxes)?"
)

_NAME_HIDES = re.compile(r"(?!non)\w*padding(mask)?|(is)?pad|hidden|hide|blocked|ignored?|excluded|forbidden")
_NAME_ATTENDS = re.compile(
    r"visible|keep|allowed|(is|key)?valid(mask|tokens)?|nonpad(ding)?|(is)?(present|real)|exists?|alive"
)
UNSCALED = re.compile(r"\b(without|no) (a |any )?scal(e|ing)\b|\bunscaled\b|(not|never) scaled", re.IGNORECASE)
_NEWEST = r"(last|newest|latest|most recent|final)"
_ALIGNED_WITH_LAST = re.compile(
    rf"bottom.?right|{_NEWEST} (\w+ )?quer|end of the keys|"
    rf"{_NEWEST} `*\w+`* (of|in|among) (the |its |all )*`*(\w+`* )?(tokens|keys|positions)|"
    rf"quer\w+ (is|are|be|being|come|belongs? to|corresponds? to)\b[^.;:\n]{{0,20}} {_NEWEST}\b(?! (axis|dim|feat))|"
    r"kv.?cache|(cached|past) keys|(caches?|cached \w+) (of|for|with) (the |all )*(past|earlier|previous)\b|"
    r"continu\w+ (a|the|its|an?other) (\w+ )?cache|(tokens|keys|positions) so far|decod|chunked prefill|"
    r"difference (between|of) (\w*(q|quer\w+|n) and \w*(k|m|keys?|kv)|the \w+ of queries and keys)\b",
    re.I,
)
_SHAPE = re.compile(r"[(\[]\s*[\w*]+(\s*,\s*[\w*]+)+\s*,?\s*[)\]]")
_HIDING = r"inf\b|1e\d|negative|∞"  # of a mask of numbers
_DISTANCES = {
    f"{first}-{second}": rf"\b(?:{'|'.join(pairs)})\b"
    for first, second, pairs in (
        ("key", "query", (r"j\s*[-−]\s*i", r"m\s*[-−]\s*n", r"key\w*\s*(?:[-−]|minus|less)\s*query")),
        ("query", "key", (r"i\s*[-−]\s*j", r"n\s*[-−]\s*m", r"query\w*\s*(?:[-−]|minus|less)\s*key")),
    )
}
# what True means is said of what the sentence before is about
_END_OF_SENTENCE = re.compile(
    r"\n\s*\n|(?<=[.;])\s(?!\W*(?:true|false|[01]|ones|zeros)\b)|\n(?=\s*(?!true|false)\w+\s*[:(])", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Documentation:
    """What a function says about itself."""

    name: str  # the function's name
    text: str  # docstring, annotations and comments
    code: str = ""  # its own lines
    source: str = ""  # the text of its file
    docstring: str = ""

    @property
    def code_with_helpers(self) -> str:
        """Its own lines, and those of the functions of its file that it calls and that these call."""
        parts = [textwrap.dedent(self.code)]
        with contextlib.suppress(SyntaxError, ValueError):
            helpers = {node.name: node for node in parse(self.source).body if isinstance(node, ast.FunctionDef)}
            helpers.pop(self.name, None)
            for part in parts:  # which grows
                calls = [node.func for node in nodes_of(part) if isinstance(node, ast.Call)]
                names = dict.fromkeys(call.id for call in calls if isinstance(call, ast.Name))
                parts += [ast.unparse(helpers.pop(name)) for name in names if name in helpers]
        return "\n".join(parts)

    @property
    def dtype(self) -> str:
        """The type that it says that it works in."""
        return "float32" if re.search(r"float32|single precision", self.text) else "float64"

    @property
    def scaled(self) -> bool:
        """Whether it says that its logits are scaled."""
        return bool(re.search(r"(?<!un)(?<!not )scaled|sqrt|√|square root", self.name + self.text, re.IGNORECASE))

    @property
    def unscaled(self) -> bool:
        """Whether it is of a family without a scale, T5, GPT-Neo, Luong's, non-local networks, or says so."""
        of_family = re.search(r"T5|GPT_?Neo(?!X)|non_?local|SAGAN", self.name, re.IGNORECASE)
        of_luong = not self.scaled and re.search(r"(?<![a-z])luong", self.name + " " + self.text, re.IGNORECASE)
        stated = UNSCALED.search(self.docstring)
        of_text = r"embedded gaussian|non-local (neural )?(net|block)|SAGAN|self-attention GAN"
        of_formula = not self.scaled and re.search(r"softmax\b[^/\n]{0,60}/ *(temperature|temp|tau)\b", self.docstring)
        of_text_or_name = of_family or of_luong or re.search(of_text, self.text, re.IGNORECASE)
        return bool(of_text_or_name or stated or of_formula)

    @property
    def random(self) -> bool:
        """Whether its code mentions a generator of random numbers, which may give the same ones at each call."""
        return bool(re.search(r"random|rng|bernoulli|binomial|seed", self.code + self.text, re.IGNORECASE))

    @property
    def matrices(self) -> str:
        """``"in-out"`` or ``"out-in"`` if it gives the shape of its matrices, else nothing."""
        stated = {
            _of_output(self.text[: match.start()]) != (how is _OUT_IN)
            for how in (_IN_OUT, _OUT_IN)
            for match in how.finditer(self.text)
        }
        return "" if len(stated) != 1 else "out-in" if stated.pop() else "in-out"

    @property
    def multiplied(self) -> str:
        """The orientation that its products suggest: ``"in-out"`` for ``x @ W``, ``"out-in"`` for ``x @ W.T``."""
        transposed = {bool(match[2]) for match in _PRODUCT.finditer(self.code) if (role_of(match[1]) or "")[:1] == "W"}
        return "" if len(transposed) != 1 else "out-in" if transposed.pop() else "in-out"

    def window(self, name: str = "window") -> str:
        """What a window of this name counts, if it says so: a beginning of the names in `options.WINDOWS`."""
        return meaning_of_window(self.text, name)

    @property
    def causal(self) -> bool:
        """Whether it says that it is causal, in its name or in the first line of its docstring."""
        first = self.text.strip().partition("\n")[0].lower()
        stated = re.search(r"\bcausal\b", first) and not re.search(
            r"non-?causal|not causal|(if|or|optional\w*) causal|causal(ly)? or|opt", first
        )
        return "causal" in re.sub(r"non_?causal", "", self.name.lower()) or bool(stated)

    @property
    def causal_with_mask(self) -> bool:
        """Whether it says that it is causal only where a mask is passed."""
        with_mask = re.compile(r"\b(only|together|combined)\b[^.]{0,30}\bmask\b|\bmask only\b", re.IGNORECASE)
        return any("causal" in s.lower() and with_mask.search(s) for s in self._sentences())

    @property
    def mentions_causal(self) -> bool:
        """Whether its file mentions something causal."""
        return bool(re.search(r"tril\b|triu\b|np\.tri\b|causal", self.source, re.IGNORECASE))

    @property
    def drops_causal_mask(self) -> bool:
        """Whether its code computes logits with a mask, and does not keep them: ``logits.masked_fill(…)`` as a line."""
        statements = [node.value for node in nodes_of(self.code) if isinstance(node, ast.Expr)]
        calls = [value.func for value in statements if isinstance(value, ast.Call)]
        dropped = any(isinstance(call, ast.Attribute) and call.attr in ("masked_fill", "where") for call in calls)
        return dropped and self.mentions_causal

    @property
    def patterned(self) -> bool:
        """Whether it says that a query sees a pattern of keys, such as those of its block."""
        return bool(
            re.search(
                r"block|sparse(?!max)|strided?|dilat|local|chunk|axial|bigbird|longformer|streaming|sink tokens|"
                r"natten|neighbou?rhood",
                self.name + self.text,
                re.I,
            )
        )

    @property
    def alignment(self) -> str:
        """``"end"`` or ``"start"`` if it says how queries and keys line up, else nothing."""
        name = self.name.replace("_", " ").replace("decoder", "")
        if _ALIGNED_WITH_LAST.search(f"{name}\n{self.text}"):
            return "end"
        return "start" if re.search(r"top.?left|first query", self.text, re.IGNORECASE) else ""

    def mask(self, name: str) -> str:
        """``"attends"``, ``"hides"`` or ``"adds"`` if it says what the mask of this name means, else nothing."""
        for sentence in self._about(name):
            if meaning := polarity(sentence):
                return meaning
        plain = normalize(name)
        return "hides" if _NAME_HIDES.fullmatch(plain) else "attends" if _NAME_ATTENDS.fullmatch(plain) else ""

    def numbers_in_mask(self, name: str) -> bool:
        """Whether it says what 1 or 0 means in the mask of this name."""
        return any(
            re.search(r"\b([01]|ones|zeros)\b", _SHAPE.sub("", s)) and polarity(s) in ("attends", "hides")
            for s in self._about(name)
        )

    def says_true(self, name: str) -> bool:
        """Whether it speaks of True or False in the mask of this name, in whatever language, and not of numbers."""
        said = [s for s in self._with_name(name) if re.search(r"\b(True|False)\b", s)]
        return bool(said) and not any(re.search(rf"float|add(ed|itive)|{_HIDING}", s) for s in said)

    def adds_numbers(self, name: str) -> bool:
        """Whether it says that the mask of this name is of numbers, and not only of 0 and −∞."""
        return any(re.search(r"float|added to", s) and not re.search(_HIDING, s) for s in self._with_name(name))

    def hides_only(self, name: str) -> bool:
        """Whether the name of a mask of numbers, or what is said of it, is that they are 0 and −∞."""
        stated = any(re.search(_HIDING, s) for s in self._with_name(name))
        return stated or bool(re.search(r"causal|pad", name, re.IGNORECASE))

    def order_of_distances(self, name: str) -> str:
        """``"key-query"`` or ``"query-key"`` if it says which place is subtracted from which in a table."""
        text = re.sub(r"\|[^|]*\||\babs\([^)]*\)", "", " ".join(self._with_name(name)))
        if re.search(r"\bkeys? [`(]?i\b|\bquer(y|ies) [`(]?j\b", text):
            return ""
        stated = {order for order, words in _DISTANCES.items() if re.search(words, text, re.IGNORECASE)}
        return stated.pop() if len(stated) == 1 else ""

    def adds_also(self, name: str) -> bool:
        """Whether its code adds the mask of this name, but for one of True and False."""
        word = re.escape(name)
        terms = re.findall(rf"([\w.)\]]+)\s*[-+]=?\s*{word}\b", self.code)
        typed = re.search(rf"\b{word}\.dtype *(==|!=|is)|is_floating_point\({word}|\b{word}\.is_float", self.code)
        return bool(typed) and any(not re.fullmatch(r"1(\.0*)?", term) for term in terms)

    def mask_axes(self, name: str) -> str:
        """The axes of a mask, the most that it gives: BM, M, NM, BNM, B11M or BHNM."""
        return max(self.mask_layouts(name), key=lambda axes: len(axes.replace("1", "")), default="")

    def mask_layouts(self, name: str) -> tuple[str, ...]:
        """The axes of a mask, in each form that it gives after its name."""
        shape = r"[\(\[]([\w\s,]+)[\)\]]"
        match = re.search(rf"\b{re.escape(name)}\b[^()\[\]\n]{{0,60}}?{shape}((,|,? or) {shape})*", self.text)
        stated = re.findall(shape, match[0]) if match else []
        layouts = []
        for one in stated:
            words = [word.strip() for word in one.split(",") if word.strip()]
            axes = [_axis(normalize(word)) for word in words]
            if words[1:-1] == ["1", "1"] and axes[0] == "B":
                layouts.append("B11M")
            elif axes and axes[0] != "?" and len(axes) <= 4:
                layouts.append({1: "M", 2: "BM" if axes[0] == "B" else "NM", 3: "BNM", 4: "BHNM"}[len(axes)])
        return tuple(layouts)

    def count_of_axes(self, name: str) -> int:
        """How many axes an argument has, if they are given after its name; else 0."""
        return len(self.shape_of(name))

    def shape_of(self, name: str) -> list[str]:
        """The names of an argument's axes, if they are given after its name."""
        stated = re.search(rf"\b{re.escape(name)}\b[^()\[\]\n,;]{{0,40}}[\(\[]([\w\s,*]+)[\)\]]", self.text)
        return [word.strip() for word in stated[1].split(",") if word.strip()] if stated else []

    def is_vector(self, name: str) -> bool:
        """Whether an argument has one axis, by what is said after its name or by the name itself."""
        return self.count_of_axes(name) == 1 or "vec" in name.lower()

    def expands(self, name: str) -> bool:
        """Whether its code gives an argument an axis of one after its first."""
        word = re.escape(name)
        axis = r"\[:, *(None|np\.newaxis|jnp\.newaxis)(, *:)?\]|\.unsqueeze\((1|2|-1)\)|\[:, *:, *None\]"
        return bool(re.search(rf"\b{word}({axis})|expand_dims\(\s*{word}\b", self.code))

    def writes_at(self, name: object) -> bool:
        """Whether its code writes into an array at the place that an argument gives."""
        assignment = rf"\[[^\]\n]*\b{re.escape(str(name))}\b[^\]\n]*\]\s*=(?!=)|dynamic_update|index_copy|\.at\["
        return isinstance(name, str) and bool(re.search(assignment, self.code))

    def axes(self, kind: str) -> tuple[str, ...]:
        """The layouts that it states for its tokens or its queries, in the order in which it states them."""
        stated = [*self._tuples(self.docstring), *self._unpacked(), *self._tuples(self.text)]
        layouts = _LAYOUTS["attention" if kind == "attention" else "tokens"]
        return tuple(dict.fromkeys(axes for words in stated for axes in [_layout(words, kind)] if axes in layouts))

    @property
    def packed(self) -> tuple[str, ...]:
        """The layouts that it states for queries, keys and values in one array, as ``"BN3Hd"``."""
        layouts = LAYOUTS[False]
        stated = (_packed_layout(words) for words in (*self._unpacked(), *self._tuples(self.text)))
        return tuple(dict.fromkeys(layout for layout in stated if layout in layouts))

    def _sentences(self) -> list[str]:
        return [" ".join(s.split()) for s in _END_OF_SENTENCE.split(self.text)]

    def _with_name(self, name: str) -> list[str]:
        """The sentences that name an argument."""
        border = r"\b" if name.isascii() else ""  # other scripts have no spaces
        return [s for s in self._sentences() if re.search(f"{border}{re.escape(name)}{border}", s)]

    def _about(self, name: str) -> Iterator[str]:
        """Sentences that name an argument; if none says what True means, then others that speak of masks or padding."""
        sentences, with_name = self._sentences(), self._with_name(name)
        yield from with_name
        if any(re.search(YES, s.lower()) for s in with_name):
            return  # the others say it of another mask
        of_others = re.compile(rf"\b(?!{re.escape(name)}\b)(\w+_mask|mask_\w+)\b")
        others = (s for s in sentences if s not in with_name and not of_others.search(s))
        yield from (s for s in others if re.search(r"mask|padding", s, re.IGNORECASE))

    def _tuples(self, text: str) -> Iterator[list[str]]:
        for inside in re.findall(r"[\(\[]([\w\s,*/·.]+)[\)\]]", text):
            yield [word.strip() for word in inside.split(",") if word.strip()]

    def _unpacked(self) -> Iterator[list[str]]:
        for names in re.findall(r"^\s*\(?([\w, ]+?)\)?\s*=\s*\w+\.(?:shape|size\(\))\s*(?:#.*)?$", self.code, re.M):
            yield [word.strip() for word in names.split(",")]


def _of_output(text: str) -> bool:
    """Whether what follows is the shape of the output matrix alone, whose rows or columns are those of all heads."""
    names = re.findall(r"\w+", re.split(r"[.;)\]\n]", text)[-1])
    return {role for name in names if (role := role_of(name) or "")[:1] == "W"} == {"Wo"}


def _axis(name: str) -> str:
    """The axis that a name is of, whatever it says about whose it is; a question mark if it is not known."""
    plain = _WHOSE.sub("", name)
    return _AXIS.get(name) or _AXIS.get(plain) or ("H" if plain.endswith("heads") else "?")


def _packed_layout(words: list[str]) -> str:
    marks = ["3" if word in ("3", "three", "2", "two", "_") else _axis(normalize(word)) for word in words]
    return "".join(marks).replace("D", "d") if marks.count("3") == 1 else ""


def _layout(words: list[str], kind: str) -> str:
    if any("*" in word for word in words):
        return ""
    names = [normalize(word) for word in words]
    if re.fullmatch("b[ts][nk]h", "".join(names)):
        return "BNHd"  # as in JAX's documentation
    axes = [_axis(name) for name in names]
    if "B" not in axes and axes.count("N") == 2 and names.count("n") == 1 and "m" not in names:
        axes[names.index("n")] = "B"  # next to L, S or T, N is the batch, as in torch's documentation
    if axes[:1] == ["N"] and len(axes) == (4 if kind == "attention" else 3) and "B" not in axes:
        axes[0] = "B"
    layout = "".join(axes)
    layout = layout.replace("D", "d") if kind == "attention" else layout
    return layout if "?" not in layout and len(set(layout)) == len(layout) else ""


def document(function: Callable[..., Any], source: str, name: str = "") -> Documentation:
    """Collect what a function says about itself, from the function and from its source text."""
    name = name or str(getattr(function, "__name__", ""))
    of_class, node = _definition(source, name)
    lines = [inspect.cleandoc(getattr(function, "__doc__", None) or ""), *of_class, *_annotations(function)]
    code = ""
    if node is not None:
        docstring = ast.get_docstring(node) or ""
        if docstring and docstring not in lines[0]:
            lines.insert(0, docstring)
        lines_of_file = source.splitlines()
        above = itertools.takewhile(lambda line: line.startswith("#"), reversed(lines_of_file[: node.lineno - 1]))
        lines_of_code = lines_of_file[node.lineno - 1 : node.end_lineno]
        comments = [*reversed(list(above)), *lines_of_code]
        lines += [line.partition("#")[2] for line in comments]  # those with code between them are apart
        code = "\n".join(lines_of_code)
    return Documentation(name, "\n".join(lines), code, source, lines[0])


def _annotations(function: Callable[..., Any]) -> list[str]:
    try:
        parameters: Iterable[inspect.Parameter] = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    stated = [[value for value in (p.annotation, p.default) if value is not p.empty] for p in parameters]
    return ["\n" + " ".join(map(str, values)) + "\n" for values in stated if values]  # a sentence each


def _definition(source: str, name: str) -> tuple[list[str], ast.FunctionDef | None]:
    """The definition of a function, or of a method such as ``Net.forward`` and what its class says."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError):
        return [], None
    of_class, methods = class_members(tree, name)
    plain = name.rpartition(".")[2]
    functions = (n for n in nodes_in(tree) if isinstance(n, ast.FunctionDef) and n.name == plain)
    return of_class, methods.get(plain) or next(functions, None)
