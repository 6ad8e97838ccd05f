"""Media types: those of the API, and what an Accept header asks for. encodings.py has a form for each."""

from msgspec import Struct

JSON, YAML, PROTOBUF = "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"


class Media(Struct, frozen=True):
    """One media range of Accept."""

    name: str
    parameters: dict[str, str]
    quality: float


def accepted(accept: str) -> list[Media]:
    """What an Accept header asks for, best first."""
    found = []
    for item in (accept or "*/*").split(","):
        name, *parameters = [part.strip() for part in item.split(";")]
        facts = {}
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            facts[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(facts.get("q", "1"))
        except ValueError:
            quality = 0.0
        if name and quality > 0:
            found.append(Media(name.lower(), facts, quality))
    found.sort(key=lambda media: -media.quality)
    return found
