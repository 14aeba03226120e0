"""No secret is in the repository: forms that keys and tokens have are looked for in every file, compressed ones too."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import zstandard

import agent

ROOT = Path(__file__).parents[2]
MADE = {".git", ".venv", "build", "dist", "node_modules", "demo-logs", "__pycache__"}
# What looks like one in a test is cut in two there.
FORMS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY",
    "AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub": r"\bgh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}",
    "GitLab": r"\bglpat-[\w-]{20}",
    "Slack": r"\bxox[abeprs]-[0-9A-Za-z-]{10,}|hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{16,}",
    "Google": r"\bAIza[\w-]{35}",
    "Stripe": r"\b[sr]k_live_[A-Za-z0-9]{16,}",
    "npm": r"\bnpm_[A-Za-z0-9]{36}",
    "PyPI": r"\bpypi-AgE[\w-]{50,}",
    "JWT": r"\beyJ[\w-]{20,}\.eyJ[\w-]{20,}\.[\w-]{20,}",
    "password in a URL": r"\b[a-z][a-z0-9+]{1,9}://[^\s/:@'\"<>{}]+:[^\s/@'\"<>{}]{3,}@",
}
PATTERN = re.compile("|".join(FORMS.values()).encode())


def files(root):
    """All that is, or would be, in the repository; in a tree without one, what was not made there."""
    if (root / ".git").exists():
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(listed, cwd=root, capture_output=True, check=True).stdout.decode().split("\0")
        paths = [root / name for name in names if name]
    else:
        paths = [path for path in root.rglob("*") if not MADE & {*path.relative_to(root).parts}]
        paths += Path(agent.__file__).parent.rglob("*.py") if root == ROOT else []
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def secrets_in(root):
    """What looks like a secret, by file."""
    found = {}
    for path in files(root):
        data = path.read_bytes()
        if path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        if one := PATTERN.search(data):
            found[str(path.relative_to(root))] = one[0].decode(errors="replace")
    return found


def test_no_secret_is_in_the_repository():
    assert secrets_in(ROOT) == {}


@pytest.mark.parametrize(
    "halves",
    [
        ("-----BEGIN OPENSSH PRIV", "ATE KEY-----"),
        ("-----BEGIN PRIV", "ATE KEY-----"),
        ("AKIA", "IOSFODNN7EXAMPLE"),
        ("ghp_", "a1B2" * 9),
        ("github_pat_", "11ABCDEFG0abcdefghijkl_x"),
        ("glpat-", "a1B2c3D4e5F6g7H8i9J0"),
        ("xoxb-", "123456789012-abcdefABCDEF"),
        ("https://hooks.slack.com/services/T", "01ABCDEF/B01ABCDEF/abcdefABCDEF12345678"),
        ("AIza", "a1B2c" * 7),
        ("sk_live_", "a1B2c3D4e5F6g7H8"),
        ("npm_", "a1B2" * 9),
        ("pypi-AgE", "IcHlwaS5vcmc" * 5),
        ("eyJhbGciOiJIUzI1NiIsInR5cCI6", "IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0xxxx.dozjgNryP4J3jVmNHl0w5N_XgL0n"),
        ("postgres://shop:s3c", "ret@db:5432/shop"),
    ],
    ids=lambda halves: halves[0][:24],
)
def test_a_planted_secret_is_found(tmp_path, halves):
    assert halves[0] + halves[1] not in Path(__file__).read_text()
    (tmp_path / "key.txt").write_text(f"a line\nkey = '{''.join(halves)}'\n")
    assert list(secrets_in(tmp_path)) == ["key.txt"]


@pytest.mark.parametrize(
    "place",
    ["Makefile", ".ci/run", ".github/workflows/x.yml", "docs/x.md", "agent/core/x.py", "tests/stores/x.tar.zst"],
)
def test_a_secret_is_found_wherever_it_is_planted(tmp_path, place):
    """Also before it is committed; what git ignores is not looked at."""
    clone = tmp_path / "clone"
    clone.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=clone, check=True)
    shutil.copy(ROOT / ".gitignore", clone)
    path = clone / place
    path.parent.mkdir(parents=True, exist_ok=True)
    secret = b"token: AKIA" + b"IOSFODNN7EXAMPLE\n"
    path.write_bytes(zstandard.compress(secret) if place.endswith(".zst") else secret)
    (clone / "build").mkdir()
    (clone / "build/log").write_bytes(secret)
    assert list(secrets_in(clone)) == [place]
    subprocess.run(["git", "add", "-A"], cwd=clone, check=True)
    assert list(secrets_in(clone)) == [place]
