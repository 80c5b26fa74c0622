"""The ``dermaseg`` command."""

from __future__ import annotations

import getpass
import io
import logging
import os
import sys
from typing import Any

from dermaseg_monai.bundle.catalogue import FLAGSHIP
from dermaseg_monai.cli.arguments import typed
from dermaseg_monai.cli.compare_prompts import compare_prompts
from dermaseg_monai.cli.study import run_study
from dermaseg_monai.utils.command import run_command
from dermaseg_monai.utils.errors import LEFT_OUT


class Study:
    """Ablation studies: train the variants of bundles, and compare them."""

    run = staticmethod(typed(run_study))

    @staticmethod
    @typed
    def report(
        name: str,
        runs: str = "runs/ablations",
        output: str = "results/ablations",
        dataset_dir: str | None = None,
    ) -> None:
        """Compare the variants of a study by the runs that have finished: tables, plots and a page.

        Args:
            name: of the study.
            runs: folder of the studies' run folders.
            output: folder for the studies' reports; this one's goes into a folder of its name.
            dataset_dir: the prepared folder that the runs were scored on, for panels of its photos.
        """
        from dermaseg_monai.studies.report.report import report_study

        print(report_study(name, runs, output, dataset_dir))


class Commands:
    """Skin-lesion segmentation models as MONAI bundles: data, catalogue, prediction."""

    study = Study
    compare_prompts = staticmethod(typed(compare_prompts))

    @typed
    def prepare(
        self,
        source: str,
        output: str,
        task: str = "lesion",
        split: str = "random",
        size: int | None = None,
        strict: bool = False,
        layout: str | None = None,
        groups: str | None = None,
        folds: int | None = None,
        soft_masks: bool = False,
        audit: str | None = None,
    ) -> None:
        """Turn the photos and masks of a data set into a folder that every bundle trains on.

        Args:
            source: folder with the data set's zips or unpacked folders.
            output: the folder to write, with its datalist.json.
            task: lesion, attribute or both.
            split: random (70/15/15, fixed), official, or external (all images are for testing).
            size: store photos reduced to this many pixels on their long side.
            strict: end at the first bad pair instead of leaving it out.
            layout: isic2018, isic2017, isic2016, ham10000, ph2 or folders; by default it is recognised.
            groups: CSV file with the patient or lesion of each id, whose photos stay in one section.
            folds: also divide the training section into so many folds.
            soft_masks: take masks of grey levels, of which 128 of 255 and more is lesion.
            audit: decisions.csv of dermaseg audit, by which masks are left out or replaced.
        """
        from dermaseg_monai.datasets import prepare

        summary = prepare(
            source,
            output,
            task=task,
            split=split,
            size=size,
            strict=strict,
            layout=layout,
            groups=groups,
            folds=folds,
            soft_masks=soft_masks,
            audit=audit,
        )
        print(summary)
        if summary.left_out:
            sys.exit(LEFT_OUT)

    @typed
    def phantom(self, output: str, count: int, size: int = 256, seed: int = 0, dicom: bool = False) -> None:
        """Write a synthetic dataset in the official layout.

        Args:
            output: folder for the official folders.
            count: how many photos.
            size: pixels of a photo's long side.
            seed: start of all randomness.
            dicom: also write the photos as Dermoscopic Photography objects, into OUTPUT/DICOM.
        """
        from dermaseg_monai.datasets.phantoms import write_phantoms

        if dicom:
            import dermaseg_monai.dicom  # noqa: F401 (says what is missing before anything is written)
        write_phantoms(output, count, size=size, seed=seed)
        if dicom:
            from dermaseg_monai.dicom.phantoms import write_dicom_phantoms

            folder = write_dicom_phantoms(output)
            print(f"the same as DICOM objects in {folder}")
        print(f"{count} phantoms in {output}; next: dermaseg prepare --source {output} --output FOLDER")

    @typed
    def download(self, dataset: str, output: str, task: str = "both", sections: str = "training") -> None:
        """Download the official archives; run it again to go on after an interruption.

        Args:
            dataset: isic2018.
            output: folder for the archives.
            task: lesion, attribute or both.
            sections: training, validation and test, separated by commas.
        """
        from dermaseg_monai.datasets import download_isic2018
        from dermaseg_monai.utils.errors import InputError

        if dataset != "isic2018":
            raise InputError(f"there is no dataset '{dataset}' to download; the one known is isic2018.")
        names = sections.split(",") if isinstance(sections, str) else sections
        for archive in download_isic2018(output, task=task, sections=tuple(names)):
            print(archive)

    @typed
    def bundles(self, json: bool = False) -> None:
        """List the bundles of the collection.

        Args:
            json: print a JSON list instead of a table.
        """
        from dermaseg_monai.bundle.listing import as_json, as_table

        print(as_json() if json else as_table())

    @typed
    def predict(
        self,
        photos: str,
        output: str,
        bundle: str = FLAGSHIP,
        executor: str = "local",
        ray_address: str | None = None,
        dicom_seg: bool = False,
        outline: bool = False,
        **overrides: Any,
    ) -> None:
        """Segment a photo or a folder of photos.

        Args:
            photos: one photo or a folder.
            output: folder for masks, overlays and predictions.csv.
            bundle: name of a bundle with weights, or a bundle's folder.
            executor: local, or ray for a big folder: in shards on a cluster.
            ray_address: of a Ray cluster, such as 10.0.0.1:6379; by default Ray is started on this machine.
            dicom_seg: take a DICOM study, and write a Segmentation object and a structured report for each photo.
            outline: with --dicom_seg, also a Secondary Capture of the photo with its outline.
            **overrides: ids of the bundle's inference.json, such as --flips "[horizontal,vertical]".
        """
        from pathlib import Path

        from dermaseg_monai.utils.errors import InputError

        if executor not in ("local", "ray"):
            raise InputError(f"there is no executor '{executor}'; choose local or ray.")
        if (outline and not dicom_seg) or (dicom_seg and executor != "local"):
            raise InputError("--outline goes with --dicom_seg True, and that with --executor local.")
        if dicom_seg:
            from dermaseg_monai.dicom.predict import predict_dicom

            table = predict_dicom(photos, output, bundle=bundle, outline=outline, **overrides)
        elif executor == "ray":
            from dermaseg_monai.inference.shards import predict_on_ray

            table = predict_on_ray(photos, output, bundle=bundle, address=ray_address, **overrides)
        else:
            from dermaseg_monai.utils.lazy_faces import import_lazily

            if "monai" not in sys.modules:
                import_lazily("dermaseg_monai", "monai", "ignite", "torchvision")
            from dermaseg_monai.inference.predict import predict

            table = predict(photos, output, bundle=bundle, **overrides)
        count = table["id"].nunique()
        print(f"{count} photos segmented: masks, overlays and predictions.csv in {output}")
        unlike = table.loc[table["unlikeness"] > 1, "id"].nunique() if "unlikeness" in table else 0
        if unlike:
            print(f"{unlike} of them are unlike the training photos: do not rely on the masks with a warning")
        failures = Path(output) / "failures.csv"
        if failures.is_file():
            print(f"photos that could not be read are listed in {failures}")
            sys.exit(LEFT_OUT)

    @typed
    def calibrate(
        self,
        bundle: str,
        dataset_dir: str,
        level: float = 0.9,
        tolerance: float = 0.05,
        check: str | None = None,
        output: str = "calibration",
        **overrides: Any,
    ) -> None:
        """Fit a bundle's temperature, inner and outer outline and warning on validation photos, beside its weights.

        Args:
            bundle: name of a bundle with weights, or a bundle's folder.
            dataset_dir: prepared folder, with the split that the bundle was trained on.
            level: share of photos for which each outline shall hold.
            tolerance: share of a lesion's pixels that each outline may get wrong.
            check: fit nothing, but measure what is stored on this section, such as test.
            output: folder for what a check measures.
            **overrides: ids of the bundle's inference.json, such as --ckpt_dir FOLDER.
        """
        import json

        from dermaseg_monai.inference.calibrate import calibrate, check_calibration

        if check is None:
            print(calibrate(bundle, dataset_dir, level, tolerance, **overrides))
        else:
            print(json.dumps(check_calibration(bundle, dataset_dir, output, check, **overrides), indent=2))

    @typed
    def audit(
        self,
        dataset_dir: str,
        output: str,
        bundle: str | None = None,
        runs: str | None = None,
        masks: str | None = None,
        section: str = "validation",
        count: int = 100,
        **overrides: Any,
    ) -> None:
        """Rank the given masks that are most likely wrong, and write a gallery in which a person decides on them.

        Args:
            dataset_dir: prepared folder with lesion masks.
            output: folder for index.html, audit.csv and pictures.
            bundle: a bundle that was not trained on the photos of the section, by name or folder.
            runs: or the folder of a cross-validation, whose folds predict the training photos.
            masks: or a folder of predicted masks or grey probabilities.
            section: training, validation or test, for a bundle and for masks.
            count: how many masks the gallery shows.
            **overrides: ids of the bundle's inference.json, such as --device cpu.
        """
        from pathlib import Path

        from dermaseg_monai.inference.audit import audit

        table = audit(dataset_dir, output, bundle, runs, masks, section, count, **overrides)
        print(table.head(20).to_string(index=False, float_format="{:.3f}".format))
        print(f"{len(table)} masks ranked; decide on them in {Path(output) / 'index.html'}")

    @typed
    def dicomweb(
        self,
        url: str,
        study: str | None = None,
        query: str | None = None,
        bundle: str = FLAGSHIP,
        outline: bool = False,
        credentials: str | None = None,
        authority: str | None = None,
        **overrides: Any,
    ) -> None:
        """Segment the photos of a DICOMweb archive, and store the results in their studies.

        Args:
            url: the archive's service root, such as https://pacs.example/dicom-web.
            study: UID of the study to work on.
            query: or a query for studies, such as "StudyDate=20260101-,ModalitiesInStudy=DMS".
            bundle: name of a bundle with weights, or a bundle's folder.
            outline: also store each photo with its outline, for viewers that show no segmentations.
            credentials: JSON file with token, or user and password; otherwise the environment is asked.
            authority: file of certificates to trust.
            **overrides: ids of the bundle's inference.json.
        """
        from dermaseg_monai.dicom.dicomweb import run_dicomweb

        tally = run_dicomweb(url, study, query, bundle, outline, credentials, authority, **overrides)
        print(f"{tally.stored} photos segmented, {tally.done} done before, {tally.left_out} left out")
        if tally.left_out:
            sys.exit(LEFT_OUT)

    @typed
    def node(
        self,
        ae_title: str,
        port: int,
        return_to: str,
        accept: str | tuple[str, ...],
        spool: str,
        bundle: str = FLAGSHIP,
        host: str = "0.0.0.0",
        outline: bool = False,
        **overrides: Any,
    ) -> None:
        """Serve as a DICOM node: take photos by C-STORE, segment them, send the results on.

        Args:
            ae_title: the node's own AE title.
            port: port to listen at.
            return_to: where results go, such as PACS@10.0.0.5:4242.
            accept: AE titles that may send photos, separated by commas; all others are rejected.
            spool: folder of photos on their way.
            bundle: name of a bundle with weights, or a bundle's folder.
            host: address to listen at.
            outline: also send each photo with its outline, for viewers that show no segmentations.
            **overrides: ids of the bundle's inference.json.
        """
        from dermaseg_monai.dicom.node import run_node

        titles = accept.split(",") if isinstance(accept, str) else [str(title) for title in accept]
        run_node(ae_title, port, return_to, titles, spool, bundle, host, outline, **overrides)

    @typed
    def evaluate(
        self,
        masks: str,
        dataset_dir: str,
        section: str = "test",
        output: str | None = None,
        against: str | None = None,
        task: str = "lesion",
        surface_tolerance: float = 0.01,
        pixels_per_mm: float | None = None,
        strata: bool = False,
        metadata: str | None = None,
    ) -> None:
        """Score the masks that any program saved, and compare two programs on the same photos.

        Args:
            masks: folder of the masks, named as their photos, with or without an ending such as _segmentation.
            dataset_dir: prepared folder with the photos and their true masks.
            section: training, validation or test.
            output: folder for metrics.csv and summary.json; by default MASKS_scores.
            against: folder of another program's masks, to compare with.
            task: lesion, or attribute for masks named <id>_attribute_<attribute>.png.
            surface_tolerance: how far a boundary may be off for the surface Dice, as a share of the diagonal.
            pixels_per_mm: the scale of all photos, for distances in mm.
            strata: also say for which photos the masks are worse, in strata.html.
            metadata: CSV file with a column of ids, whose other columns make further strata.
        """
        from dermaseg_monai.evaluation.against import compare_masks
        from dermaseg_monai.evaluation.masks import evaluate_masks
        from dermaseg_monai.evaluation.report import report_strata
        from dermaseg_monai.utils.errors import InputError

        if task != "lesion" and (strata or metadata):
            raise InputError("--strata and --metadata are of lesion masks; leave out --task attribute.")
        folder = output or f"{masks.rstrip('/')}_scores"
        options = (dataset_dir, section, task, surface_tolerance, pixels_per_mm)
        scores = evaluate_masks(masks, folder, *options)
        if against is not None:
            print(compare_masks(scores, against, folder, *options))
        if strata or metadata is not None:
            print(report_strata(scores, masks, folder, dataset_dir, section, metadata))

    @typed
    def quantise(
        self, model: str, photos: str, output: str, count: int = 128, seed: int = 0, portable: bool = False
    ) -> None:
        """Turn an exported ONNX model into one that computes in 8-bit integers, and say how far they differ.

        Args:
            model: ONNX file.
            photos: folder of example photos, best those that the network was trained on.
            output: ONNX file to write.
            count: how many of the photos are looked at.
            seed: start of the random choice of them.
            portable: give the same on every processor, where the default may be faster on this one.
        """
        from dermaseg_monai.inference.quantise import quantise

        made = quantise(model, photos, output, count=count, seed=seed, portable=portable)
        print(
            f"{made.path} ({made.weights} weights): logits differ by {100 * made.difference.error:.1f} % of their "
            f"standard deviation, {100 * made.difference.changed:.2f} % of the pixels are decided otherwise"
        )

    @typed
    def show(
        self, bundle: str, id: str | int, dataset_dir: str, output: str, section: str = "", **overrides: Any
    ) -> None:
        """Draw one image of a prepared dataset with its ground truth and a bundle's prediction.

        Args:
            bundle: name of a bundle with weights, or a bundle's folder.
            id: the image's id, or its index in a section.
            dataset_dir: prepared folder.
            output: the PNG to write.
            section: training, validation or test; an index needs it, an id is looked for in all.
            **overrides: ids of the bundle's inference.json, such as --ckpt_dir FOLDER.
        """
        from dermaseg_monai.inference.show import show

        print(show(bundle, id, dataset_dir, output, section=section or None, **overrides))

    @typed
    def app(
        self,
        host: str = "127.0.0.1",
        port: int = 7860,
        bundle: str | tuple[str, ...] = (),
        ckpt_dir: str = "",
        prefix: str = "",
        token_file: str = "",
        cors: str | tuple[str, ...] = (),
        queue: int = 64,
        rate: int = 0,
        timeout: float = 60.0,
        workers: int | None = None,
    ) -> None:
        """Serve a local web page, and an interface for programs: drop photos, see outlines and measurements.

        Args:
            host: address to listen at; the default answers this computer alone.
            port: port to listen at; 0 takes any free one.
            bundle: a bundle to offer first, by name or folder, or several, separated by commas.
            ckpt_dir: folder of that one bundle's model.pt, where it is elsewhere.
            prefix: path below which a reverse proxy shows the page, such as /lesions.
            token_file: file of the token that every request must bear.
            cors: address of a site whose pages may use the interface, or several, separated by commas.
            queue: requests that may be under way at once; the others are told to come back.
            rate: requests a minute that one address may send; 0 for any number.
            timeout: seconds for a request to arrive, and again to be answered.
            workers: photos that are worked on at once; as many as cores by default.
        """
        from dermaseg_monai.app import run_app
        from dermaseg_monai.app.limits import Limits, read_token

        token = read_token(token_file) if token_file else None
        limits = Limits(queue, timeout, rate, token, _listed(cors))
        run_app(host, port, _listed(bundle), ckpt_dir or None, limits, prefix, workers)

    @typed
    def site(
        self,
        output: str,
        bundle: str = FLAGSHIP,
        ckpt_dir: str = "",
        runtime: str = "",
        int8: str = "",
        webgpu: bool = False,
        clicks: str = "",
    ) -> None:
        """Write the web page as a folder whose network runs in the visitor's browser, without a server of ours.

        Args:
            output: the folder to write.
            bundle: name of a bundle that outlines lesions, or its folder.
            ckpt_dir: folder of its model.pt, where it is elsewhere.
            runtime: archive of the npm package of ONNX Runtime Web; npm fetches it otherwise.
            int8: folder of example photos, to have the network compute in 8-bit integers.
            webgpu: let the network run on the GPU where the browser offers one.
            clicks: a promptable bundle such as lesion_mobile_sam, to answer clicks in the browser as well.
        """
        from dermaseg_monai.app.site import write_site

        folder = write_site(
            output, bundle, ckpt_dir or None, runtime or None, int8 or None, webgpu, clicks or None
        )
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        print(f"{folder} holds the page, {size / 1e6:.1f} MB; try it: python -m http.server -d {folder}")

    @typed
    def distribution(self, dataset_dir: str, output: str) -> None:
        """Chart how often the attributes occur in each section and how much of the photos they cover.

        Args:
            dataset_dir: prepared folder with attribute masks.
            output: the PNG to write; the numbers go beside it, as CSV.
        """
        from pathlib import Path

        from dermaseg_monai.utils.files import write_text
        from dermaseg_monai.visualize import attribute_distribution, plot_distribution

        table = attribute_distribution(dataset_dir)
        plot_distribution(table, output)
        write_text(Path(output).with_suffix(".csv"), table.to_csv(index=False, float_format="%.6f"))
        print(table.to_string(index=False, float_format="{:.4f}".format))

    @typed
    def pack(self, *bundles: str, output: str = "dist", all: bool = False, url: str | None = None) -> None:
        """Write bundles as archives that any web server can share, with lists of them.

        Args:
            *bundles: names in the collection, or folders of bundles, of a study's variants or of its runs.
            output: folder for the archives, model_info.json, SHA256SUMS and index.html.
            all: pack the whole collection and the variants of its studies.
            url: the address that the folder will have.
        """
        from dermaseg_monai.sharing.pack import all_bundles, pack
        from dermaseg_monai.utils.errors import InputError

        if bool(bundles) == all:
            raise InputError("name the bundles to pack, or give --all for the whole collection.")
        for packed in pack(all_bundles() if all else bundles, output, url):
            print(f"{packed.path}  {packed.size:,} bytes, weights: {packed.weights}")

    @typed
    def verify(self, bundle: str, untrusted: bool = False) -> None:
        """Check a bundle's folder or archive; exits with 1 where a check fails.

        Args:
            bundle: its folder or zip.
            untrusted: screen its configs first, and build and load nothing unless they pass.
        """
        from dermaseg_monai.sharing.verify import as_table, verify

        logging.disable(logging.WARNING)
        checks = verify(bundle, untrusted)
        print(as_table(checks))
        if any(check.outcome == "FAIL" for check in checks):
            sys.exit(1)

    @typed
    def get(self, bundle: str, output: str = "bundles", version: str | None = None, **options: str) -> None:
        """Download a bundle, check it, and put it in place of an older one.

        Args:
            bundle: its name.
            output: folder of bundles that it goes into.
            version: of the bundle; the newest by default.
            **options: --from URL, the address of a folder that dermaseg pack wrote, or of its model_info.json.
        """
        from dermaseg_monai.sharing.install import install
        from dermaseg_monai.utils.errors import InputError

        # "from" is a word of Python's own, so it cannot be the name of an argument
        url = options.pop("from", None)
        if url is None or options:
            unknown = f"there is no option --{next(iter(options))}; " if options else ""
            raise InputError(
                f"{unknown}write dermaseg get {bundle} --from URL, with the address of a list of bundles."
            )
        done = install(bundle, url, output, version)
        if not done.fetched:
            print(f"{done.path} is {done.version} already")
            return
        print(f"{done.path} is {done.version} now" + (f" (was {done.replaced})" if done.replaced else ""))
        if done.kept:
            print(f"files of the old folder had been added or changed: it is kept as {done.kept}")


def _listed(value: str | tuple[str, ...]) -> list[str]:
    """The parts of a text between commas; Fire has split some already."""
    return [part for part in value.split(",") if part] if isinstance(value, str) else list(value)


def main() -> None:
    """Run the command; what the user got wrong is said in one sentence, with exit code 1.

    Exit code 3: done, but something was left out, which is named. 130: stopped by Ctrl-C.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        getpass.getuser()
    except (
        KeyError,
        OSError,
    ):  # a user id without an account, as containers have them; MONAI asks for the name
        os.environ["USER"] = str(os.getuid())
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be text
    run_command(Commands(), "dermaseg")


if __name__ == "__main__":
    main()
