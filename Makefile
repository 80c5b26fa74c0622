# Two commands for a bare machine: `make demo` and `make test`. Python 3.10 to 3.13 and about 6 GB of disk.

PYTHON ?= python3
VENV ?= .venv
DATA ?= demo/prepared
BUNDLE := bundles/lesion_unet
RUN := $(VENV)/bin/python -m monai.bundle run
# small enough for two cores; the configs' own values are the full recipe
DEMO := --dataset_dir $(abspath $(DATA)) --bundle_root $(abspath $(BUNDLE)) --ckpt_dir $(abspath demo/models) \
	--image_size "[96,96]" --batch_size 8

.PHONY: demo test lint install clean

demo: $(VENV)/installed $(DATA)/datalist.json
	$(RUN) training --config_file $(BUNDLE)/configs/train.json $(DEMO) --max_epochs 6 --learning_rate 0.0005 \
		--output_dir $(abspath demo/training)
	$(RUN) evaluating --config_file "['$(BUNDLE)/configs/train.json','$(BUNDLE)/configs/evaluate.json']" $(DEMO) \
		--output_dir $(abspath demo/evaluation)
	$(RUN) inferring --config_file $(BUNDLE)/configs/inference.json --image_size "[96,96]" \
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

test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --dist loadfile

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

install: $(VENV)/installed

# torch and torchvision together, so that both come from one build
$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet torch torchvision
	$(VENV)/bin/python -m pip install --quiet -e ".[all]"
	touch $@

clean:
	rm -rf demo build dist $(VENV)
