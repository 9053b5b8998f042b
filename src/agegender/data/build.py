"""Building a pack: decode the images of a manifest, drop the rows without pixels, put the new pack in place."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from types import MappingProxyType
from typing import Any

import joblib
import pandas as pd
import PIL
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table

from agegender.data.decoding import ARRAY, JOURNAL, Outcome, compact, fill
from agegender.data.manifest import digest
from agegender.data.pack import FORMAT, INFO, MANIFEST, MISSING, key_of, read_info, why_damaged, why_stale
from agegender.data.pixels import CHECKSUM
from agegender.datasets.label_files import file_hash
from agegender.datasets.names import locate, nearest, none_found
from agegender.datasets.source import open_source
from agegender.errors import UserError, disk_explained
from agegender.files import write_whole

ABSENT = "not in the source"
SAID = 3  # images without pixels that a message names


@dataclass(frozen=True)
class Summary:
    """What `build_pack` did; print it with rich.

    `dropped`: rows by the reason why their image is not in the pack. `replaced`: what was wrong with an older pack.
    """

    folder: Path
    digest: str
    rows: int
    images: int
    dropped: dict[str, int]
    seconds: float
    up_to_date: bool
    replaced: str | None = None

    @property
    def images_per_second(self) -> float:
        """Distinct images of the pack over the time the whole call took."""
        return self.images / self.seconds

    def __rich__(self) -> Table:
        table = Table(title=f"pack {self.folder}", title_justify="left", show_header=False)
        speed = f"{self.seconds:.1f} s, {self.images_per_second:,.0f} images/s"
        table.add_row("faces kept", f"{self.rows:,}")
        table.add_row("distinct images", f"{self.images:,}")
        for reason, count in self.dropped.items():
            table.add_row(f"faces dropped: {reason}", f"{count:,}")
        if self.replaced:
            table.add_row("made again", self.replaced)
        table.add_row("time", "none: it was up to date" if self.up_to_date else speed)
        table.add_row("digest", self.digest[:16])
        return table


def build_pack(
    folder: Path,
    source: Path,
    manifest: pd.DataFrame,
    *,
    dataset: str,
    size: int,
    settings: Mapping[str, object],
    allow_missing: bool,
    label_files: Mapping[str, str] = MappingProxyType({}),
    workers: int | None = None,
    progress: bool = True,
) -> Summary:
    """Decode the images of a manifest at `size` pixels into the pack `folder`, with `workers` processes (all cores).

    The work is done in `folder`.partial, which a later call continues, and takes the place of an older pack only when
    it is complete; a pack that is up to date, all its pixels included, is left as it is. `settings` are JSON values:
    what `manifest` was read with. `label_files` are those read besides the source (`outside.noted`).

    Raises:
        UserError: Images are missing or unreadable (unless `allow_missing`, which drops their rows), there is no image
            at all, the disk is full or not writable, a decoding process died, another process is writing the same
            pack, or its place holds something else.
        KeyboardInterrupt: On Ctrl-C, or another signal as `Stopped`, after a clean stop, with a message that says how
            to go on.

    """
    started, existed = time.perf_counter(), folder.exists()
    with open_source(source) as opened:
        info: dict[str, Any] = {
            **key_of(dataset, size, settings),
            "fingerprint": opened.fingerprint(),
            "requested": hashlib.sha256(manifest.to_csv(index=False).encode()).hexdigest(),
        }
    where = {"source": str(source.expanduser().resolve()), "label_files": dict(label_files)}
    why = _why_made_again(folder, info, allow_missing)
    if why is not None:
        _make(folder, source, manifest, info | where, allow_missing, workers or joblib.cpu_count(), progress)
    elif not where.items() <= (known := read_info(folder)).items():  # the same files, in another place
        write_whole(folder / INFO, _text(known | where))
    info = read_info(folder)
    seconds = time.perf_counter() - started
    replaced = why if existed else None
    return Summary(
        folder, info["digest"], info["rows"], info["images"], info["dropped"], seconds, why is None, replaced
    )


def _make(
    folder: Path,
    source: Path,
    manifest: pd.DataFrame,
    info: dict[str, Any],
    allow_missing: bool,
    workers: int,
    progress: bool,
) -> None:
    names = manifest["image"].drop_duplicates().tolist()
    partial, old = (folder.with_name(f"{folder.name}.{state}") for state in ("partial", "old"))
    for place in (folder, partial, old):
        _refuse_foreign(place)
    with disk_explained(partial):
        partial.mkdir(parents=True, exist_ok=True)
        faces = _decode(partial, source, names, info["size"], workers, progress)
        _report_missing(partial, faces, allow_missing)
        _complete(partial, manifest, faces, info)
        _replace(folder, partial, old)


def _why_made_again(folder: Path, expected: Mapping[str, object], allow_missing: bool) -> str | None:
    """Return why a pack is not up to date; None when it is."""
    if (why := why_stale(folder, expected)) is not None:
        return why
    info = read_info(folder)
    if info["missing"] and not allow_missing:
        return "made without the faces that are missing"
    try:
        return why_damaged(folder)
    except OSError as error:
        return f"damaged ({error})"


def _refuse_foreign(folder: Path) -> None:
    """Refuse to put a pack in the place of something else, which would be deleted."""
    if folder.is_file():
        raise UserError(f"{folder} is a file and no pack: name another place with data.pack=")
    if folder.is_dir():
        own = {ARRAY, JOURNAL, MANIFEST, INFO, MISSING, f"{INFO}.partial", ".DS_Store"}
        names = (path.name for path in folder.iterdir())
        others = sorted(name for name in names if name not in own and not name.startswith(".nfs"))  # files in use
        if others:
            raise UserError(f"{folder} is no pack, it holds {others[0]}: name another place with data.pack=")


def _decode(partial: Path, source: Path, names: list[str], size: int, workers: int, progress: bool) -> pd.DataFrame:
    """Fill the array with a progress bar; return an `Outcome` and the image per distinct image, in order of slots."""
    with open_source(source) as opened:
        files = opened.names()
        held = locate(names, files)
        if not held:
            raise UserError(none_found(names, opened))
        absent = {name: _absent(name, files) for name in islice((n for n in names if n not in held), SAID)}
    wanted = {slot: held[name] for slot, name in enumerate(names) if name in held}
    plan = {"format": FORMAT, "size": size, "pillow": PIL.__version__, "names": names, "checksum": CHECKSUM}
    key = hashlib.sha256(json.dumps(plan).encode()).hexdigest()
    outcomes: dict[int, Outcome] = {}
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    results = fill(source, partial, wanted, size, len(names), workers, key)
    try:
        with closing(results), Progress(*columns, console=Console(stderr=True), disable=not progress) as bar:
            task = bar.add_task("decoding", total=len(wanted))
            for chunk in results:
                outcomes.update({outcome.slot: outcome for outcome in chunk})
                bar.advance(task, len(chunk))
    except KeyboardInterrupt as stop:
        done = f"stopped at {len(outcomes)} of {len(wanted)} images, which are kept in {partial}"
        stop.args = (f"{done}: run the same command again to go on",)
        raise
    everything = [outcomes.get(slot, Outcome(slot, "", 0, absent.get(name, ABSENT))) for slot, name in enumerate(names)]
    return pd.DataFrame(everything, columns=list(Outcome._fields)).assign(image=names)


def _absent(name: str, held: list[str]) -> str:
    other = nearest(name, held)
    return f"{ABSENT} (nearest is {other})" if other else ABSENT


def _report_missing(partial: Path, faces: pd.DataFrame, allow_missing: bool) -> None:
    """List the images without pixels in missing.csv; UserError when there are some and must not be."""
    lost = faces.loc[faces["reason"] != "", ["image", "reason"]]
    (partial / MISSING).unlink(missing_ok=True)
    if lost.empty:
        return
    lost.to_csv(partial / MISSING, index=False)
    if not allow_missing or len(lost) == len(faces):
        first = "; ".join(f"{name}: {reason}" for name, reason in lost.head(SAID).to_numpy())
        raise UserError(
            f"{len(lost)} of {len(faces)} images are missing or unreadable ({first}; all in {partial / MISSING}): "
            "complete the copy or replace the files, or go on without them with data.allow_missing=true"
        )


def _complete(partial: Path, manifest: pd.DataFrame, faces: pd.DataFrame, info: dict[str, Any]) -> None:
    """Write what belongs to the filled array; the rows without pixels are dropped and counted."""
    lost, kept = faces[faces["reason"] != ""], faces[faces["reason"] == ""]
    (partial / JOURNAL).unlink()  # from here on the slots may move
    compact(partial / ARRAY, kept["slot"].tolist())
    by_image = kept.assign(slot=range(len(kept))).set_index("image")
    rows = manifest[manifest["image"].isin(by_image.index)].reset_index(drop=True)
    rows = rows.assign(**{name: rows["image"].map(by_image[name]) for name in ("sha256", "slot", CHECKSUM)})
    rows.to_csv(partial / MANIFEST, index=False, lineterminator="\n")
    kinds = lost.set_index("image")["reason"].str.split(" (", regex=False).str[0]  # without what a library said
    info |= {
        "rows": len(rows),
        "images": len(kept),
        "missing": len(manifest) - len(rows),
        "dropped": {str(reason): int(count) for reason, count in manifest["image"].map(kinds).value_counts().items()},
        "digest": digest(rows, pack_format=FORMAT, pack_size=info["size"]),
        "manifest_sha256": file_hash(partial / MANIFEST),
        "pillow": PIL.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_whole(partial / INFO, _text(info))


def _text(info: dict[str, Any]) -> bytes:
    return (json.dumps(info, indent=2) + "\n").encode()


def _replace(folder: Path, partial: Path, old: Path) -> None:
    """Put the new pack in the place of the old one, which stays readable to who has it open."""
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
