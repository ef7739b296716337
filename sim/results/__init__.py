"""What came out: the recorder, KPIs, the result and the folder it is written to."""
