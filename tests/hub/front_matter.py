"""What the Hub's specification says of the front matter of a card."""

import re
from typing import Any

import yaml

LICENCES = {"apache-2.0", "mit", "bsd-3-clause", "cc-by-4.0", "cc-by-sa-4.0", "other"}
PIPELINE_TAGS = {
    "audio-classification", "feature-extraction", "graph-ml", "image-classification", "image-feature-extraction",
    "image-segmentation", "image-to-image", "object-detection", "other", "reinforcement-learning",
    "tabular-classification", "text-classification", "text-generation", "time-series-forecasting", "translation",
    "unconditional-image-generation",
}  # fmt: skip


def front_matter(card: str) -> Any:
    found = re.match(r"---\n(.*?)\n---\n", card, re.S)
    return yaml.safe_load(found.group(1)) if found else None


def card_errors(card: str) -> list[str]:
    """What the Hub's specification of the front matter says against a card."""
    try:
        data = front_matter(card)
    except yaml.YAMLError as error:
        return [f"YAML: {error}"]
    if data is None:
        return []
    if not isinstance(data, dict):
        return ["the front matter must be a mapping"]
    errors = []
    if "license" in data and data["license"] not in LICENCES:
        errors.append(f'"license" must be one of the list, not {data["license"]!r}')
    if "pipeline_tag" in data and data["pipeline_tag"] not in PIPELINE_TAGS:
        errors.append(f'"pipeline_tag" must be one of the registry, not {data["pipeline_tag"]!r}')
    library = data.get("library_name", "a")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", str(library)):
        errors.append('"library_name" must be lower case')
    for key in ("datasets", "metrics", "tags"):
        if key in data and not (isinstance(data[key], list) and all(isinstance(v, str) for v in data[key])):
            errors.append(f'"{key}" must be a list of strings')
    for model in data.get("model-index", []):
        if not isinstance(model.get("name"), str):
            errors.append('"model-index[0].name" is required')
        for result in model.get("results", []):
            for part, keys in (("task", ("type",)), ("dataset", ("type", "name"))):
                errors += [f'"{part}.{k}" is required' for k in keys if not result.get(part, {}).get(k)]
            for metric in result.get("metrics", [{}]):
                errors += [f'"metrics.{k}" is required' for k in ("type", "value") if metric.get(k) is None]
    return errors
