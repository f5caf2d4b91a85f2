"""What a server loads before its engines are on their way."""

import subprocess
import sys


def test_the_web_framework_is_loaded_while_the_engines_start() -> None:
    code = "import sys, web.cli, web.start; print([name for name in ('fastapi', 'uvicorn') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n", "the child is started once web.start is there"
