"""What tools/study.py runs and reports, one file a job."""
