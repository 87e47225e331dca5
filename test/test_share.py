"""Where the package's files lie, in a source tree and in installations."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from fcrn_ros import share


def _module_at(path):
    """Return share.py as if it lay at ``path``."""
    path.parent.mkdir(parents=True)
    shutil.copy(share.__file__, path)
    spec = importlib.util.spec_from_file_location('share_elsewhere', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module._recorded = list
    return module


def _touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('<package/>')
    return path.parent


def test_source_tree_is_its_own_share_folder(tmp_path):
    module = _module_at(tmp_path / 'repository/fcrn_ros/share.py')
    expected = _touch(tmp_path / 'repository/package.xml')
    assert module.share_folder() == expected


@pytest.mark.parametrize(
    ('packages', 'prefix'),
    [
        ('install/fcrn_ros/lib/python3.12/site-packages', 'install/fcrn_ros'),
        ('usr/local/lib/python3.12/dist-packages', 'usr/local'),
        ('venv/local/lib/python3.10/dist-packages', 'venv'),
    ],
)
def test_installed_package_finds_share_of_its_prefix(tmp_path, packages, prefix):
    module = _module_at(tmp_path / packages / 'fcrn_ros/share.py')
    expected = _touch(tmp_path / prefix / 'share/fcrn_ros/package.xml')
    assert module.share_folder() == expected


def test_symbolic_link_leads_to_the_source_tree(tmp_path):
    """``colcon build --symlink-install`` links the package into the build folder."""
    module = _module_at(tmp_path / 'source/fcrn_ros/share.py')
    expected = _touch(tmp_path / 'source/package.xml')
    (tmp_path / 'build').mkdir()
    (tmp_path / 'build/fcrn_ros').symlink_to(tmp_path / 'source/fcrn_ros')
    module.__file__ = str(tmp_path / 'build/fcrn_ros/share.py')
    assert module.share_folder() == expected


def test_installer_record_is_followed(tmp_path):
    module = _module_at(tmp_path / 'site/fcrn_ros/share.py')
    expected = _touch(tmp_path / 'elsewhere/package.xml')
    module._recorded = lambda: [expected]
    assert module.share_folder() == expected


def test_absent_files_are_an_error_that_names_the_places(tmp_path, monkeypatch):
    module = _module_at(tmp_path / 'site/fcrn_ros/share.py')
    monkeypatch.setattr(module.sys, 'prefix', str(tmp_path / 'prefix'))
    with pytest.raises(FileNotFoundError, match='files of fcrn_ros .* were not found') as error:
        module.share_folder()
    assert str(tmp_path / 'site') in str(error.value)
    assert str(tmp_path / 'prefix/share/fcrn_ros') in str(error.value)
    assert '\n' not in str(error.value)


def test_share_folder_holds_the_models():
    if not (Path(share.__file__).parents[1] / 'package.xml').is_file():
        pytest.skip('needs a source tree with package.xml')
    assert (share.share_folder() / 'models').is_dir()
