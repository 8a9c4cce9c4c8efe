"""How it is executed: papermill on Dask."""
