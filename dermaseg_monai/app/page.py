"""The page: where photos are dropped, and what can be chosen."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like, traverse
from PIL import Image

from dermaseg_monai.app.cards import EMPTY, show_session
from dermaseg_monai.app.models import Model
from dermaseg_monai.app.session import Sessions, disk_fault
from dermaseg_monai.data.phantoms import render_phantom
from dermaseg_monai.errors import InputError
from dermaseg_monai.measurements import checked_scale

TITLE = "DermaSeg"

HEADER = """
<header class="top">
  <h1>DermaSeg</h1>
  <p>Outlines a skin lesion in a photo and measures it.</p>
</header>
<p class="notice" role="note"><strong>For research only, not a medical device.</strong> It can be wrong, and it does
not say whether a lesion is harmless. If a spot on your skin worries you, see a doctor.</p>
"""

PRIVACY = """
<p class="privacy">Photos stay on the computer that runs this page. They are deleted when you close it.</p>
"""

_NONE = "none"
_PHANTOM_SIZE = (576, 768)


def build_page(models: Sequence[Model], sessions: Sessions) -> gr.Blocks:
    """Lay out the page.

    Args:
        models: the bundles to choose from; the first for lesions is chosen at the start.
        sessions: where visitors' photos are.

    Returns:
        The page, ready to be mounted.
    """
    lesions = {model.name: model for model in models if model.task == "lesion"}
    structures = {model.name: model for model in models if model.task == "attribute"}
    first = next(iter(lesions))

    def segment(
        files: list[str] | None, lesion: str, structure: str, request: gr.Request
    ) -> Iterator[tuple[None, str]]:
        session = sessions.of(str(request.session_hash))
        session.admit([Path(file) for file in files or []])
        for name in session.segment(lesions[lesion], structures.get(structure)):
            yield None, show_session(session, name)
        yield None, show_session(session)

    def segment_again(lesion: str, structure: str, request: gr.Request) -> Iterator[str]:
        for _, results in segment(None, lesion, structure, request):
            yield results

    def try_phantom(lesion: str, structure: str, request: gr.Request) -> Iterator[tuple[None, str]]:
        seed = secrets.randbelow(1000)
        with tempfile.TemporaryDirectory() as folder:
            photo = Path(folder) / f"synthetic_{seed}.jpg"
            Image.fromarray(render_phantom(seed, _PHANTOM_SIZE).image).save(photo, quality=92)
            yield from segment([str(photo)], lesion, structure, request)

    def set_scale(text: str, request: gr.Request) -> str:
        session = sessions.of(str(request.session_hash))
        try:
            session.pixels_per_mm = checked_scale(text.replace(",", ".")) if text.strip() else None
        except InputError as error:
            gr.Warning(str(error))
        return show_session(session)

    def clear(request: gr.Request) -> str:
        sessions.of(str(request.session_hash)).clear()
        return EMPTY

    def leave(request: gr.Request) -> None:
        sessions.close(str(request.session_hash))

    # what no event claims (a page closed while it uploads) goes within the hour
    with _Page(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.HTML(HEADER, apply_default_css=False)
        with gr.Row(elem_classes="columns"):
            with gr.Column(scale=2, min_width=280, elem_classes="controls"):
                photos = gr.File(label="Photos", file_count="multiple", height=190, elem_id="photos")
                phantom = gr.Button("Try a synthetic photo", elem_id="phantom")
                with gr.Accordion("Options", open=False, elem_id="options"):
                    lesion = gr.Dropdown(
                        list(lesions),
                        value=first,
                        label="Network for the outline",
                        filterable=False,
                        elem_id="bundle",
                    )
                    structure = gr.Dropdown(
                        [_NONE, *structures],
                        value=_NONE,
                        label="Network for dermoscopic attributes",
                        visible=bool(structures),
                        filterable=False,
                        elem_id="structures",
                    )
                    scale = gr.Textbox(
                        label="Pixels per millimetre",
                        info="If you know it, sizes are also given in mm.",
                        placeholder="not known",
                        elem_id="scale",
                    )
                remove = gr.Button("Remove all photos", variant="secondary", elem_id="remove")
                gr.HTML(PRIVACY, apply_default_css=False)
            with gr.Column(scale=5, min_width=320):
                results = gr.HTML(EMPTY, elem_id="results", apply_default_css=False)

        # one network at a time: they share the processor
        turn: dict[str, Any] = {
            "concurrency_id": "network",
            "concurrency_limit": 1,
            "show_progress": "hidden",
        }
        choices = [lesion, structure]
        photos.upload(segment, [photos, *choices], [photos, results], trigger_mode="multiple", **turn)
        phantom.click(try_phantom, choices, [photos, results], **turn)
        for choice in choices:
            choice.input(segment_again, choices, results, trigger_mode="always_last", **turn)
        scale.blur(set_scale, scale, results, show_progress="hidden")
        scale.submit(set_scale, scale, results, show_progress="hidden")
        remove.click(clear, None, results, show_progress="hidden")
        page.unload(leave)
    return page


class _Page(gr.Blocks):
    """A page that fetches no file, and says in one sentence that the disk is full.

    Gradio would fetch, for any input whose value is a file with a web address.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[Any]:
        traverse(inputs, _refuse_address, is_file_obj_with_meta)
        return await super().preprocess_data(block_fn, inputs, state, explicit_call)

    async def process_api(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return await super().process_api(*args, **kwargs)
        except Exception as error:
            told = disk_fault(error)
            if told is None:
                raise
            raise gr.Error(told, print_exception=False) from error


def _refuse_address(file: dict[str, Any]) -> None:
    if is_http_url_like(file["path"]):
        raise gr.Error(
            "A web address is not fetched; download the photo and upload it.", print_exception=False
        )
