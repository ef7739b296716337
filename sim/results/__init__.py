"""Results of a run: recorder, KPIs, result object and result folder."""
