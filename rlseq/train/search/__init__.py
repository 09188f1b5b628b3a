"""Search for hyper-parameters by Optuna: trials are run folders, and the study is a file."""
