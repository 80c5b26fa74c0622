"""Results as HTML. Every text that comes from outside is escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path

from dermaseg_monai.app.session import Result, Session

EMPTY = """
<section class="empty">
  <p class="empty-title">Nothing here yet</p>
  <p>Add one or more photos. Each comes back with the lesion's outline, its mask, a map of where the network is
  unsure, and measurements.</p>
</section>
"""
"""What stands in the place of results before there are any."""


def show_session(session: Session, working_on: str | None = None) -> str:
    """The page's results.

    Args:
        session: whose.
        working_on: the photo being segmented, or None when all are done.
    """
    if not (session.photos or session.refused):
        return EMPTY
    total = len(session.photos)
    done = len(session.results)
    if working_on is not None:
        status = f"Looking at {escape(working_on)}, {done + 1} of {total} …"
    else:
        status = f"{done} {'photo' if done == 1 else 'photos'} segmented."
    state = "working" if working_on is not None else "done"
    parts = [f'<p class="status {state}" role="status" data-state="{state}">{status}</p>']
    parts += [_refusals(session)] if session.refused else []
    parts += [_downloads(session)] if session.results and working_on is None else []
    # the newest first: what was dropped last is what is looked for
    parts += [_card(session, result) for result in reversed(session.results)]
    return f'<section class="results">{"".join(parts)}</section>'


def _refusals(session: Session) -> str:
    rows = "".join(
        f"<li><strong>{escape(name)}</strong>: {escape(reason)}</li>" for name, reason in session.refused
    )
    return f'<div class="refused" role="alert"><p>Left out:</p><ul>{rows}</ul></div>'


def _downloads(session: Session) -> str:
    base = f"results/{session.token}"
    return (
        '<p class="downloads">'
        f'<a class="download" href="{base}/masks.zip" download="masks.zip">Download masks (zip)</a>'
        f'<a class="download" href="{base}/measurements.csv" download="measurements.csv">'
        "Download measurements (CSV)</a></p>"
    )


def _card(session: Session, result: Result) -> str:
    name = escape(result.name)
    found = result.measured.area_px > 0
    pictures = [
        _picture(session, result.outline, "Outline", f"{name} with the lesion's outline"),
        _picture(session, result.mask, "Mask", f"Mask of {name}: the lesion white, the rest black"),
    ]
    if result.heat is not None:
        note = "Uncertainty <span>(bright: unsure)</span>"
        pictures.append(_picture(session, result.heat, note, f"Map of where the mask of {name} is unsure"))
    if result.structures is not None:
        present = [label.replace("_", " ") for label, share in (result.attributes or {}).items() if share > 0]
        label = f"{name} with dermoscopic attributes: {', '.join(present) or 'none found'}"
        note = "Attributes" if present else "Attributes <span>(none found)</span>"
        pictures.append(_picture(session, result.structures, note, label))
    height, width = result.size
    notes = "" if found else '<p class="note">No lesion was found in this photo.</p>'
    if result.measured.touches_edge:
        notes += (
            '<p class="note">The lesion reaches the edge of the photo: its shape and diameter are those of '
            "the part that can be seen.</p>"
        )
    return (
        f'<article class="card"><header><h2>{name}</h2><p>{width} &times; {height} pixels, '
        f'{escape(result.bundle)}</p></header><div class="pictures of-{len(pictures)}">{"".join(pictures)}</div>{notes}'
        f"{_measurements(result, session.pixels_per_mm)}</article>"
    )


def _picture(session: Session, file: Path, caption: str, description: str) -> str:
    address = f"results/{session.token}/{file.relative_to(session.folder).as_posix()}"
    return (
        f'<figure><a href="{address}" target="_blank" rel="noopener" title="Open at full size">'
        f'<img src="{address}" alt="{description}" loading="lazy"></a><figcaption>{caption}</figcaption></figure>'
    )


def _measurements(result: Result, scale: float | None) -> str:
    measured = result.measured
    area = f"{measured.area_share:.1%}"
    diameter = "&ndash;" if measured.diameter_px is None else f"{measured.diameter_px:.0f} px"
    if scale and measured.diameter_px is not None:
        area += f", {measured.area_mm2(scale):.1f} mm²"
        diameter += f", {measured.diameter_mm(scale):.1f} mm"
    rows = [
        ("Area", area, "share of the photo"),
        ("Asymmetry", _decimals(measured.asymmetry), "0 is symmetric about two axes; at most 1"),
        (
            "Border irregularity",
            _decimals(measured.border_irregularity),
            "1 is a disc; longer borders give more",
        ),
        ("Greatest diameter", diameter, "between the two points furthest apart"),
        ("Confidence", _percent(result.confidence), "mean probability over the lesion"),
        ("Uncertainty", _percent(result.uncertainty), "mean of the map over the lesion; 100% is a toss-up"),
    ]
    rows += [
        (label.replace("_", " ").capitalize(), f"{share:.1%}", "dermoscopic attribute, share of the photo")
        for label, share in (result.attributes or {}).items()
        if share > 0
    ]
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{value}</td><td class="meaning">{meaning}</td></tr>'
        for name, value, meaning in rows
    )
    return f'<table class="measurements"><caption>Measurements</caption><tbody>{body}</tbody></table>'


def _decimals(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "&ndash;" if value is None else f"{value:.0%}"
