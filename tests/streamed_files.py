"""Writes the same rows as NumPy and Parquet files into a folder: FOLDER FORMAT, npy or parquet."""

import sys
from pathlib import Path

import numpy

folder, form = Path(sys.argv[1]), sys.argv[2]
rows = numpy.random.default_rng(1)
x = rows.normal(size=(300, 5)).astype("<f4")
kind = rows.integers(0, 3, size=300)
x[:, 4] = rows.integers(-3, 4, size=300)
numpy.savetxt(
    folder / "rows.csv",
    numpy.column_stack([x.astype(object), kind.astype(object)]),
    fmt=["%.9g"] * 5 + ["%d"],
    delimiter=",",
    header="a,b,c,d,e,kind",
    comments="",
)
if form == "npy":
    for name in ("x", "y", "npz"):
        (folder / name).mkdir()
    for part, cut in enumerate([slice(0, 70), slice(70, 300)]):
        numpy.save(folder / "x" / f"{part}.npy", x[cut].reshape(-1, 1, 5))
        numpy.save(folder / "y" / f"{part}.npy", kind[cut].astype([">i2", "<u4"][part]))
        save = [numpy.savez, numpy.savez_compressed][part]
        save(folder / "npz" / f"{part}.npz", x=x[cut].astype([">f8", "<f4"][part]), y=kind[cut])
    numpy.save(folder / "columns.npy", numpy.asfortranarray(x))
    numpy.save(folder / "text.npy", numpy.array(["a", "b"]))
else:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table(
        {name: x[:, i] for i, name in enumerate("abcd")}
        | {"e": x[:, 4].astype("<i4"), "kind": pyarrow.array([str(k) for k in kind])}
    )
    (folder / "parts").mkdir()
    for part, compression in enumerate(["snappy", "gzip", "lz4", "none"]):
        rows_here = table.slice(part * 75, 75)
        path = folder / "parts" / f"{part}.parquet"
        pyarrow.parquet.write_table(rows_here, path, compression=compression, row_group_size=31)
    pyarrow.parquet.write_table(
        table.set_column(5, "kind", pyarrow.array(x[:, 0].astype("<f8"))), folder / "values.parquet"
    )
    missing = [None if row == 123 else float(v) for row, v in enumerate(x[:, 1])]
    pyarrow.parquet.write_table(
        table.set_column(1, "b", pyarrow.array(missing)), folder / "missing.parquet"
    )
    pyarrow.parquet.write_table(
        table.append_column("lists", pyarrow.array([[1.0]] * 300)), folder / "lists.parquet"
    )
    pyarrow.parquet.write_table(table, folder / "zstd.parquet", compression="zstd")
