"""scikit-learn: MLPClassifier and MLPRegressor with their own Adam, in float32."""

import warnings

from common import arguments, data, report

options, workload = arguments(__doc__)

import numpy  # noqa: E402  the thread counts had to be set first
import sklearn  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: E402

warnings.filterwarnings("ignore", category=ConvergenceWarning)


def main():
    x, y = data(workload)
    rows = workload.rows // workload.batch * workload.batch
    x, y = x[:rows], y[:rows]
    kind = MLPClassifier if workload.task == "classes" else MLPRegressor
    sklearn.set_config(assume_finite=True)
    model = kind(
        hidden_layer_sizes=workload.layers[1:-1],
        activation=workload.activation,
        solver="adam",
        alpha=0.0,
        batch_size=workload.batch,
        learning_rate_init=1e-3,
        shuffle=True,
        random_state=1,
        tol=0.0,
        n_iter_no_change=1_000_000_000,
    )

    def epochs(count):
        model.set_params(max_iter=count).fit(x, y)

    versions = {"scikit-learn": sklearn.__version__, "numpy": numpy.__version__}
    report("scikit-learn", options, workload, versions, epochs)


main()
