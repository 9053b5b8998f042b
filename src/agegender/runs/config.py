"""The configuration that a run folder holds: written when the run starts, read back and held against its identity."""

import yaml  # type: ignore[import-untyped]

from agegender.errors import UserError
from agegender.runs.folder import RunFolder
from agegender.spec import Run


def write_run(folder: RunFolder, run: Run) -> None:
    """Write what a run is into its folder, as config.yaml."""
    text = yaml.safe_dump(run.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    folder.write_text("config.yaml", text)


def read_run(folder: RunFolder) -> Run:
    """Return the run that a folder holds; Damaged where it cannot be read or is another than the identity says."""
    try:
        content = yaml.safe_load(folder.content("config.yaml").decode())
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        raise folder.damaged("config.yaml", "is not valid YAML") from None
    try:
        run = Run.read(content)
    except UserError as error:
        raise folder.damaged("config.yaml", f"is damaged, or of another version of the suite ({error})") from None
    told = folder.keys
    test = told["test"].get("data") if isinstance(told.get("test"), dict) else None
    found = run.identity_keys(told["data"], weights=told.get("weights"), test=test)
    if found != told:
        names = (name for name in (*found, *told) if found.get(name) != told.get(name))
        raise folder.damaged("config.yaml", f"has another '{next(names, 'setting')}' than the run")
    return run
