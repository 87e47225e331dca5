# make demo: see it work.  make test: check it.  Both need Python >= 3.10 with venv, and make.
# Where a ROS 2 is sourced, its rclpy and messages are used and none is installed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

ifdef ROS_DISTRO
VENV_OPTIONS := --system-site-packages
ROS :=
else
ROS := ros,
endif

.PHONY: demo test lint bench clean

demo: $(VENV)/demo.done
	$(BIN)/fcrn demo

test: $(VENV)/test.done
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/demo.done
	$(BIN)/fcrn bench --naive

clean:
	rm -rf $(VENV) demo_out build install log *.egg-info

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'fcrn_ros needs Python >= 3.10; found '"$$($(PYTHON) --version)"; exit 1; }
	$(PYTHON) -m venv $(VENV_OPTIONS) $(VENV)

$(VENV)/demo.done: setup.py | $(BIN)/python
	@echo 'installing into $(VENV): PyTorch is the large part, some minutes on a slow line'
	$(PIP) -e '.[$(ROS)demo,openvino]'
	@touch $@

$(VENV)/test.done: setup.py | $(BIN)/python
	@echo 'installing into $(VENV): PyTorch is the large part, some minutes on a slow line'
	$(PIP) wheel  # TensorRT for RTX builds its own with it
	$(PIP) -e '.[$(ROS)demo,train,openvino,int8,import,export,rtx,viz,dev]'
	@touch $@ $(VENV)/demo.done
