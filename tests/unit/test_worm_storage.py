"""A storage stack loads one backend, and knows the states that were made before there were two."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from components.object_lock_account import Accounts

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("module", ["worm_storage", "environment", "factory", "object_lock_account"])
def test_the_azure_sdk_is_loaded_by_stacks_in_azure_only(module: str) -> None:
    script = f"import sys, components.{module}; assert 'pulumi_azure_native' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_stack_in_azure_does_not_load_the_other_backend() -> None:
    script = "import sys, components.worm_storage, components.azure_accounts; assert 'boto3' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_states_from_before_the_provider_moved_still_find_it() -> None:
    """Refresh and destroy take the provider from the state, where it is pickled by its name."""
    recorded = b"\x80\x02ccomponents.worm_storage\n_Accounts\n)\x81."
    assert isinstance(pickle.loads(recorded), Accounts)
