# Two commands for a bare machine: `make demo` and `make test`. Python 3.10 to 3.13 and about 9 GB of disk.

PYTHON ?= python3
VENV ?= .venv
LABEL_VENV ?= .venv-monailabel
DATA ?= demo/prepared
BUNDLE := bundles/lesion_unet_compact
RUN := $(VENV)/bin/python -m monai.bundle run
# the smallest network, on images of 64 pixels: done in minutes on any machine
DEMO := --dataset_dir $(abspath $(DATA)) --bundle_root $(abspath $(BUNDLE)) --ckpt_dir $(abspath demo/models) --batch_size 8

.PHONY: demo test test-label lint audit install clean

demo: $(VENV)/installed $(DATA)/datalist.json
	$(RUN) training --config_file $(BUNDLE)/configs/train.json $(DEMO) --max_epochs 12 --learning_rate 0.001 \
		--output_dir $(abspath demo/training)
	$(RUN) evaluating --config_file "['$(BUNDLE)/configs/train.json','$(BUNDLE)/configs/evaluate.json']" $(DEMO) \
		--output_dir $(abspath demo/evaluation)
	$(RUN) inferring --config_file $(BUNDLE)/configs/inference.json \
		--bundle_root $(abspath $(BUNDLE)) --ckpt_dir $(abspath demo/models) \
		--dataset_dir $(abspath $(DATA))/images --output_dir $(abspath demo/masks)
	@echo
	@echo "learning curves      demo/training/curves.png"
	@echo "validation panel     demo/training/panel.png"
	@echo "test panel, scores   demo/evaluation/panel.png, summary.json and metrics.csv"
	@echo "masks of all photos  demo/masks"
	@cat demo/evaluation/summary.json

demo/prepared/datalist.json: $(VENV)/installed
	$(VENV)/bin/dermaseg phantom --output demo/phantoms --count 200 --size 192
	$(VENV)/bin/dermaseg prepare --source demo/phantoms --output demo/prepared

# a worker that crashes is not replaced: by files, pytest-xdist would wait for the new one for ever
test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --dist loadfile --max-worker-restart 0

# MONAI Label's server, in an environment of its own that the server script makes, spoken to over HTTP
test-label: $(VENV)/installed
	DERMASEG_LABEL_VENV=$(abspath $(LABEL_VENV)) DERMASEG_LABEL_SETUP=only PYTHON=$(PYTHON) scripts/monailabel.sh
	DERMASEG_LABEL_PYTHON=$(abspath $(LABEL_VENV))/bin/python OMP_NUM_THREADS=1 \
		$(VENV)/bin/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 tests/monai_label

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# known holes in what is installed, by the advisories of pypi.org; the auditor has an environment of its own
audit: $(VENV)/installed
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --skip-editable \
		--path "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
		|| { echo "the audit found holes (listed above), or could not ask pypi.org about every package"; exit 1; }

install: $(VENV)/installed

# torch and torchvision together, so that both come from one build
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet torch torchvision
	$(VENV)/bin/python -m pip install --quiet -e ".[all]"
	touch $@

clean:
	rm -rf demo build dist $(VENV) $(LABEL_VENV)
