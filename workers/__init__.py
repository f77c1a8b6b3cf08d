"""The processes: control worker, node worker, node watch, enrolment service."""
