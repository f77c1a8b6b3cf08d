"""What runs when: the schedule of ``celery -A carina_tasks beat``.

The sweeps are crontab entries and not intervals, because an interval starts again whenever beat's
pod moves. Every entry expires before the next is due, so a worker that was away does not run a heap
of them. Two beats at once are harmless: each task reads the objects again and does only what is
left to do.
"""

from __future__ import annotations

from celery.schedules import crontab

from carina_tasks.celery import app
from carina_tasks.model import task_names

BEAT_SCHEDULE = {
    "sweep-local-volumes": {
        "task": task_names.SWEEP_LOCAL_VOLUMES,
        "schedule": crontab(minute="*/10"),
        "options": {"expires": 600},
    },
    "sweep-logic-volumes": {
        "task": task_names.SWEEP_LOGIC_VOLUMES,
        "schedule": crontab(minute="*/10"),
        "options": {"expires": 600},
    },
    "resume": {
        "task": task_names.RESUME,
        "schedule": 30.0,
        "options": {"expires": 30},
    },
    "publish-status": {
        "task": task_names.PUBLISH,
        "schedule": 30.0,
        "options": {"expires": 30, "ignore_result": True},
    },
    "readiness": {
        "task": task_names.READINESS,
        # Between the sweeps, which ask all nodes as well. The answer is kept elsewhere, and is no
        # result for a day.
        "schedule": crontab(minute="2-59/5"),
        "options": {"expires": 300, "ignore_result": True},
    },
}

app.conf.beat_schedule = BEAT_SCHEDULE
