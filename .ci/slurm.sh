#!/usr/bin/env bash
# A real Slurm of one node, without accounting, and the tests that send jobs to it: what is absent is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

.ci/packages.sh slurm

if ! sinfo >/dev/null 2>&1; then
    host=$(hostname -s)
    mkdir -p /etc/slurm /run/munge /var/spool/slurmd /var/spool/slurmctld
    # four processors whatever the machine has: a participant's echoes go side by side
    cat >/etc/slurm/slurm.conf <<CONF
ClusterName=test
SlurmctldHost=$host
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
NodeName=$host CPUs=4 RealMemory=20000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    [ -f /etc/munge/munge.key ] || mungekey
    chown munge /run/munge /etc/munge/munge.key
    # of their own output, or whoever reads this script's waits for the daemons to end; they end with it
    trap 'pkill -x "slurmd|slurmctld|munged" || true' EXIT
    pgrep -x munged >/dev/null || su -s /bin/sh munge -c munged </dev/null >/dev/null 2>&1
    slurmctld </dev/null >/dev/null 2>&1
    slurmd </dev/null >/dev/null 2>&1
    for _ in $(seq 30); do
        [ "$(sinfo --noheader --format %T)" = idle ] && break
        sleep 1
    done
    sinfo
fi

# one test holds a whole run and a disturbed one: more than the usual limit of a test
TMSPREP_REQUIRE_SLURM=1 timeout 2400 .venv/bin/python -m pytest -o faulthandler_timeout=2300 tests/slurm "$@"
