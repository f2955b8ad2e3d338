"""All benchmarks, one after the other."""

import subprocess
import sys
from pathlib import Path

for script in sorted(Path(__file__).parent.glob("*_bench.py")):
    print(f"== {script.stem}", flush=True)
    subprocess.run([sys.executable, "-m", f"tests.bench.{script.stem}"], check=True)
