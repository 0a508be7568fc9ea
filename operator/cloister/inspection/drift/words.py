"""What the beginning of a reply shows without a model: its language, and whether it declines."""

from collections import Counter

_FREQUENT = {
    "en": "the and of to in is that for with this are you it can not as be",
    "de": "der die und das ist nicht mit ein eine sie auf für den von im zu wir",
    "fr": "le la les des et est une vous pour dans pas que sur avec ce sont du",
    "es": "el los las una es que por para con del como más se su en está",
    "it": "il che di una per non con sono è della gli nel come più questo",
    "pt": "o os uma não para com por que mais são da do em você como",
    "nl": "de het een en van is niet dat met voor op zijn aan je te",
}
_LANGUAGES: dict[str, tuple[str, ...]] = {}
for _name, _words in _FREQUENT.items():
    for _word in _words.split():
        _LANGUAGES[_word] = (*_LANGUAGES.get(_word, ()), _name)
_LOOKED_AT = 300
"""Characters."""
_LATIN_ENDS = "\u036f"
_SCRIPTS = (
    ("cyrillic", "\u0400", "\u04ff"),
    ("greek", "\u0370", "\u03ff"),
    ("hebrew", "\u0590", "\u05ff"),
    ("arabic", "\u0600", "\u06ff"),
    ("devanagari", "\u0900", "\u097f"),
    ("thai", "\u0e00", "\u0e7f"),
    ("japanese", "\u3040", "\u30ff"),
    ("han", "\u4e00", "\u9fff"),
    ("hangul", "\uac00", "\ud7af"),
)
_DECLINES = (
    "i'm sorry, but",
    "i'm sorry but",
    "i can't help",
    "i can't assist",
    "i can't provide",
    "i can't comply",
    "i cannot help",
    "i cannot assist",
    "i cannot provide",
    "i cannot comply",
    "i'm not able to",
    "i'm unable to",
    "i am unable to",
    "i won't help",
    "i won't provide",
    "as an ai language model",
    "against my guidelines",
    "tut mir leid",
    "dabei nicht helfen",
    "dabei kann ich ihnen nicht",
    "je ne peux pas",
    "je suis désolé",
    "no puedo ayudar",
    "no puedo proporcionar",
    "lo siento",
    "non posso aiutar",
    "mi dispiace",
    "não posso ajudar",
    "niet mee helpen",
    "niet bij helpen",
)


def language(text: str) -> str | None:
    """The language of a text, by its script, or in Latin script by its most frequent words; None where too little is
    there to tell."""
    text = text[:_LOOKED_AT].lower()
    if not text.isascii() and (script := _script(text[:80])):
        return script
    words = text.split()
    if len(words) < 8:
        return None
    counts: dict[str, int] = {}
    for word in words:
        for name in _LANGUAGES.get(word, ()):
            counts[name] = counts.get(name, 0) + 1
    best = max(counts, key=lambda name: counts[name], default="")
    return best if counts.get(best, 0) * 10 >= len(words) else "other"


def _script(text: str) -> str | None:
    letters = [letter for letter in text if letter.isalpha()]
    others = [letter for letter in letters if letter > _LATIN_ENDS]
    if len(others) * 2 <= len(letters):
        return None
    counts = Counter(name for letter in others for name, first, last in _SCRIPTS if first <= letter <= last)
    # Japanese is written with Han too, but never without kana for long.
    return "japanese" if counts["japanese"] else max(counts, key=lambda name: counts[name], default="other")


def refuses(text: str) -> bool:
    """Whether a reply begins by declining, in one of seven languages. By set phrases: it counts, it does not judge."""
    beginning = text[:240].lower().replace("\u2019", "'")
    return any(phrase in beginning for phrase in _DECLINES)
