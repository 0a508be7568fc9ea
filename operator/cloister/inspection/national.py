"""Numbers by which states name people: their forms here, their check digits by python-stdnum.

A form that other numbers have too (eleven digits, say) counts only behind a word that says what it is.
"""

from collections.abc import Callable

from stdnum import ean, luhn
from stdnum.au import tfn
from stdnum.be import nn
from stdnum.bg import egn
from stdnum.br import cpf
from stdnum.ca import sin
from stdnum.ch import ssn
from stdnum.cn import ric
from stdnum.de import idnr as de_idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nif, nir
from stdnum.gb import nhs
from stdnum.ie import pps
from stdnum.il import idnr as il_idnr
from stdnum.in_ import aadhaar, pan
from stdnum.it import codicefiscale
from stdnum.kr import rrn
from stdnum.mx import curp
from stdnum.nl import bsn
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import cc
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.tr import tckimlik
from stdnum.us import itin
from stdnum.za import idnr as za_idnr

from cloister.inspection.rows import Row, anything

_GAP = r"[^0-9\n]{0,24}?"


def _named(words: str, form: str) -> str:
    """A form behind a word that names it."""
    return rf"\b(?:{words})\b{_GAP}\b({form})\b"


def _row(rule: str, pattern: str, valid: Callable[[str], bool] | None = None) -> Row:
    return Row(
        f"national-{rule}", pattern, (lambda text: valid(text.decode("ascii", "replace"))) if valid else anything
    )


ROWS: tuple[Row, ...] = (
    _row("ch", r"\b756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}\b", ssn.is_valid),
    _row("ch", _named("AHV|AVS|OASI", r"756[0-9]{10}"), ean.is_valid),
    _row("fr-nir", r"\b[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}\b", nir.is_valid),
    _row("it", r"\b[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]\b", codicefiscale.is_valid),
    _row("mx-curp", r"\b[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]\b", curp.is_valid),
    _row("cn", r"\b[1-9][0-9]{5}(?:19|20)[0-9]{2}[01][0-9][0-3][0-9]{4}[0-9X]\b", ric.is_valid),
    _row("gb-nino", r"\b[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-D]\b"),
    _row("in-pan", r"\b[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]\b", pan.is_valid),
    _row("es-dni", r"\b[0-9]{8}-?[A-HJ-NP-TV-Z]\b", dni.is_valid),
    _row("es-nie", r"\b[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]\b", nie.is_valid),
    _row("ie-pps", r"\b[0-9]{7}[A-W][ABWTXZ]?\b", pps.is_valid),
    _row("pt-cc", r"\b[0-9]{8} ?[0-9] ?[0-9A-Z]{2}[0-9]\b", cc.is_valid),
    _row("fi", r"\b[0-3][0-9][01][0-9]{3}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]\b", hetu.is_valid),
    _row("be", r"\b[0-9]{2}\.[01][0-9]\.[0-3][0-9]-[0-9]{3}\.[0-9]{2}\b", nn.is_valid),
    _row("br-cpf", r"\b[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}\b", cpf.is_valid),
    _row("kr-rrn", r"\b[0-9]{2}[01][0-9][0-3][0-9]-[1-8][0-9]{6}\b", rrn.is_valid),
    _row("se", r"\b(?:19|20)?[0-9]{2}[01][0-9][0-3][0-9][-+][0-9]{4}\b", personnummer.is_valid),
    _row("us-itin", r"\b9[0-9]{2}-[0-9]{2}-[0-9]{4}\b", itin.is_valid),
    _row("in-aadhaar", r"\b[2-9][0-9]{3} [0-9]{4} [0-9]{4}\b", aadhaar.is_valid),
    _row("fr-spi", r"\b[0-3][0-9] [0-9]{2} [0-9]{3} [0-9]{3} [0-9]{3}\b", nif.is_valid),
    _row("in-aadhaar", _named("(?i:aadhaar)", r"[2-9][0-9]{11}"), aadhaar.is_valid),
    _row("be", _named("(?i:rijksregister|registre national|NISS|INSZ)[a-z]*", r"[0-9]{11}"), nn.is_valid),
    _row("br-cpf", _named("CPF", r"[0-9]{11}"), cpf.is_valid),
    _row("de-idnr", _named("(?i:steuer-?id|idnr|tax id)[a-z-]*", r"[1-9][0-9](?: ?[0-9]{3}){3}"), de_idnr.is_valid),
    _row("nl-bsn", _named("BSN|(?i:burgerservicenummer)", r"[0-9]{8,9}"), bsn.is_valid),
    _row("pl-pesel", _named("(?i:pesel)", r"[0-9]{11}"), pesel.is_valid),
    _row("no", _named("(?i:f.{1,2}dselsnummer|personnummer)", r"[0-9]{6} ?[0-9]{5}"), fodselsnummer.is_valid),
    _row("ro-cnp", _named("CNP", r"[1-9][0-9]{12}"), cnp.is_valid),
    _row("bg-egn", _named("EGN", r"[0-9]{10}"), egn.is_valid),
    _row("tr", _named("(?i:kimlik|TCKN)[a-z]*", r"[1-9][0-9]{10}"), tckimlik.is_valid),
    _row("ca-sin", _named("SIN|(?i:social insurance)", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}"), sin.is_valid),
    _row("au-tfn", _named("TFN|(?i:tax file)", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}"), tfn.is_valid),
    _row("gb-nhs", _named("NHS", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}"), nhs.is_valid),
    _row("za", _named("(?i:south african|SA) ID|(?i:id number)", r"[0-9]{13}"), za_idnr.is_valid),
    _row("il", _named("(?i:teudat zehut|israeli id)", r"[0-9]{9}"), il_idnr.is_valid),
    _row("us-ssn", _named("SSN|(?i:social security)", r"[0-8][0-9]{2}[ -]?[0-9]{2}[ -]?[0-9]{4}")),
    _row("imei", _named("IMEI", r"[0-9]{15}"), luhn.is_valid),
)
"""Earlier ones win where two begin at one place."""
