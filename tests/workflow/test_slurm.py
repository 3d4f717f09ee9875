"""The workflow on a real Slurm: a cluster of one node, this machine, with two made-up GPUs.

Needs Debian's packages slurmctld, slurmd and slurm-client, and the extra `slurm`.
"""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

WHERE = f"{os.environ['PATH']}:/usr/sbin:/sbin"
PROGRAMS = ["setpriv", "slurmctld", "slurmd", "sinfo", "sbatch", "srun", "squeue", "scontrol", "scancel"]
MISSING = [name for name in PROGRAMS if shutil.which(name, path=WHERE) is None]
pytestmark = [
    pytest.mark.engines,
    pytest.mark.skipif(bool(MISSING), reason=f"no {MISSING}: apt-get install slurmctld slurmd slurm-client"),
    pytest.mark.skipif(not find_spec("snakemake_executor_plugin_slurm"), reason="pip install -e '.[slurm]'"),
]
STAGES = ["simulate", "ingest", "triangulate", "train", "evaluate", "plot"]
SWEEP = ["all-s0", "all-s1", "input-s0", "input-s1"]
PROFILE = "profiles/slurm"
SLURM_CONF = """
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
# The node has what the next lines say, whatever the machine has.
SlurmdParameters=config_overrides
MinJobAge=600
ReturnToService=2
GresTypes=gpu
NodeName=n1 NodeHostname=localhost NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=500000 Gres=gpu:2 State=UNKNOWN
PartitionName=work Nodes=n1 Default=YES MaxTime=INFINITE State=UP
"""
GRES_CONF = """
NodeName=n1 Name=gpu File=/dev/null
NodeName=n1 Name=gpu File=/dev/zero
"""
# The plugin hides SLURM_CONF from its inner srun, which on a cluster finds the configuration in /etc.
SRUN = """#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""
# Slurm's own answer, as soon as a job of this run has ended since the last one: the plugin asks ever more rarely.
SQUEUE = """#!/bin/sh
for run in "$@"; do :; done
for _ in $(seq 150); do
    answer=$({squeue} "$@") || exit
    ended=$(echo "$answer" | grep -v -e PENDING -e RUNNING -e CONFIGURING -e COMPLETING)
    [ "$ended" = "$(cat {folder}/ended-$run 2>/dev/null)" ] || break
    sleep 0.2
done
echo "$ended" > {folder}/ended-$run
echo "$answer"
"""


@dataclass(frozen=True)
class Job:
    """What Slurm has recorded of a job."""

    number: int
    name: str
    state: str
    cpus: int
    gpus: int

    @classmethod
    def parse(cls, line: str) -> "Job":
        values = dict(re.findall(r"(\S+?)=(\S*)", line))
        gpus = re.search(r"gpu:(\d+)", values.get("TresPerJob", ""))
        name = values["Comment"].removeprefix("rule_").replace("_wildcards_", " ")
        return cls(
            int(values["JobId"]), name, values["JobState"], int(values["NumCPUs"]), int(gpus[1]) if gpus else 0
        )


@dataclass
class Cluster:
    """A running Slurm, its files in a folder of its own."""

    folder: Path
    seen: set[int] = field(default_factory=set)

    def run(self, project, *command, seconds=600, check=True, **environment):
        """Run a command in a project as one does on a login node; ended if it takes too long."""
        environment = {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{WHERE}",
            **environment,
        }
        settings = [f"{name}={value}" for name, value in environment.items()]
        limit = ["timeout", "--signal=INT", "--kill-after=20", str(seconds)]
        return project.run("env", *settings, *limit, *command, check=check)

    def snakemake(self, project, *arguments, **options):
        return self.run(project, "snakemake", "--workflow-profile", PROFILE, *arguments, **options)

    def ask(self, *command, seconds=20):
        """Give the answer of one of Slurm's programs, nothing if there is none in time."""
        environment = {**os.environ, "PATH": WHERE, "SLURM_CONF": str(self.folder / "slurm.conf")}
        command = ["timeout", "--kill-after=5", str(seconds), *command]
        return subprocess.run(command, env=environment, capture_output=True, text=True).stdout

    def new_jobs(self) -> list[Job]:
        """The jobs since the last call, in the order of submission."""
        lines = [line for line in self.ask("scontrol", "-o", "show", "jobs").splitlines() if "Comment=" in line]
        jobs = [job for job in map(Job.parse, lines) if job.number not in self.seen]
        self.seen |= {job.number for job in jobs}
        return sorted(jobs, key=lambda job: job.number)


def write_configuration(folder: Path) -> None:
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in (first, second)]
    cpus = 2 * os.cpu_count() + 8
    (folder / "slurm.conf").write_text(
        SLURM_CONF.format(folder=folder, ports=ports, user=getpass.getuser(), cpus=cpus)
    )
    (folder / "gres.conf").write_text(GRES_CONF)
    for name, script in (("srun", SRUN), ("squeue", SQUEUE)):
        (folder / "bin" / name).write_text(script.format(folder=folder, **{name: shutil.which(name, path=WHERE)}))
        (folder / "bin" / name).chmod(0o755)


def start_daemon(folder: Path, name: str, *options: str) -> subprocess.Popen[bytes]:
    """Start a daemon that ends with this process, however that ends."""
    command = ["setpriv", "--pdeathsig", "TERM", shutil.which(name, path=WHERE), "-D", *options]
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)


def wait_until_idle(cluster: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and all(daemon.poll() is None for daemon in daemons):
        if cluster.ask("sinfo", "-h", "-o", "%t", seconds=5).strip() == "idle":
            return
        time.sleep(0.5)
    logs = [(cluster.folder / f"{name}.log").read_text()[-300:] for name in ("slurmctld", "slurmd")]
    pytest.skip(f"Slurm does not start here: {' | '.join(logs)}")


def stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("slurm")
    write_configuration(folder)
    cluster, daemons = Cluster(folder), []
    try:
        daemons += [start_daemon(folder, "slurmctld", "-i"), start_daemon(folder, "slurmd", "-N", "n1")]
        wait_until_idle(cluster, daemons)
        yield cluster
    finally:
        cluster.ask("scancel", "--partition", "work")
        for daemon in reversed(daemons):
            stop(daemon)


def edit_profile(project):
    """Say where jobs go, as a lab does; and look at them as often as a test needs."""
    profile = project.path / PROFILE / "config.yaml"
    text = profile.read_text().replace("# slurm_partition: cpu", "slurm_partition: work")
    profile.write_text(text.replace("status-checks: 20", "status-checks: 1"))


def note_gpus(project):
    """Have every training note the GPU that it sees."""
    file = project.path / "workflow/rules/train.smk"
    note = '"echo $SLURM_JOB_ID ${{CUDA_VISIBLE_DEVICES-none}} >> logs/gpus; python -m trilift train'
    file.write_text(file.read_text().replace('"python -m trilift train', note))


def add_data_set(project, name):
    """Make a second data set of the demo's files."""
    shutil.copytree(project.path / "data/raw/demo", project.path / "data/raw" / name)
    shutil.copy(project.path / "workflow/datasets/demo.yaml", project.path / f"workflow/datasets/{name}.yaml")


@dataclass(frozen=True)
class Run:
    """A run of snakemake on the cluster: where, what it said, and its jobs by their names."""

    project: Any
    output: str
    jobs: dict[str, Job]

    def noted_gpus(self) -> dict[str, str]:
        """The GPU that each training saw."""
        lines = dict(line.split() for line in (self.project.path / "logs/gpus").read_text().splitlines())
        return {name: lines[str(job.number)] for name, job in self.jobs.items() if str(job.number) in lines}


@pytest.fixture(scope="module")
def whole_run(cluster, finished, tmp_path_factory):
    """Everything made anew on the cluster, with a sweep and a second data set."""
    project = finished.copy(tmp_path_factory.mktemp("whole_run") / "project")
    edit_profile(project)
    note_gpus(project)
    add_data_set(project, "other")
    project.set("sweep", {"seeds": [0, 1], "losses": {"all": {}, "input": {"multi_view_consistency": 0.0}}})
    targets = ["all", "results/demo/sweep/table.csv", "data/captures/other.nc"]
    output = cluster.snakemake(project, "--forceall", *targets).stdout
    jobs = cluster.new_jobs()
    by_name = {job.name: job for job in jobs}
    assert len(by_name) == len(jobs)
    return Run(project, output, by_name)


def test_every_step_is_a_job_and_makes_the_same_bits_as_on_one_machine(whole_run, finished):
    of_data_set = {"simulate", "ingest demo", "triangulate demo", "plot demo", "sweep demo", "ingest other"}
    of_runs = {f"{rule} demo_{run}" for rule in ("train", "evaluate") for run in ("main", *SWEEP)}
    assert whole_run.jobs.keys() == of_data_set | of_runs
    assert {job.state for job in whole_run.jobs.values()} == {"COMPLETED"}
    assert whole_run.project.hashes().items() >= finished.hashes().items()


def test_trainings_and_no_other_jobs_get_a_gpu(whole_run):
    trainings = {f"train demo_{run}" for run in ("main", *SWEEP)}
    assert {name: job.gpus for name, job in whole_run.jobs.items() if job.gpus} == dict.fromkeys(trainings, 1)
    assert whole_run.noted_gpus().keys() == trainings
    assert set(whole_run.noted_gpus().values()) == {"0", "1"}  # some at the same time


def test_after_a_run_on_the_cluster_both_engines_find_nothing_to_do(whole_run, cluster):
    assert "stages recorded in dvc.lock" in whole_run.output
    assert whole_run.project.changed() == set()
    assert "Nothing to be done" in cluster.snakemake(whole_run.project).stdout
    assert cluster.new_jobs() == []


def test_dvc_repro_goes_through_slurm_shows_what_failed_and_recovers(cluster, project):
    edit_profile(project)
    add_data_set(project, "other")
    project.set("datasets", ["demo", "other"])
    damaged = project.path / "data/raw/other/detections.npz"
    damaged.write_bytes(b"damaged")
    threads = os.cpu_count() + 1  # more than the machine that submits has
    project.set("train.threads", threads)

    failed = cluster.run(project, "dvc", "repro", "--keep-going", check=False, SNAKEMAKE_PROFILE=PROFILE)
    assert failed.returncode not in (0, 124)
    assert "trilift ingest: data/raw/other/detections.npz:" in failed.stdout
    assert {job.name: (job.state, job.cpus, job.gpus) for job in cluster.new_jobs()} == {
        "ingest other": ("FAILED", 4, 0),
        "train demo_main": ("COMPLETED", threads, 1),
        "evaluate demo_main": ("COMPLETED", 4, 0),
        "plot demo": ("COMPLETED", 1, 0),
    }

    shutil.copy(project.path / "data/raw/demo/detections.npz", damaged)
    cluster.run(project, "dvc", "repro", "ingest@other", SNAKEMAKE_PROFILE=PROFILE)
    assert [(job.name, job.state) for job in cluster.new_jobs()] == [("ingest other", "COMPLETED")]
    project.set("datasets", ["demo"])
    assert project.jobs("all", "data/captures/other.nc") == set()
    assert project.changed() == set()
