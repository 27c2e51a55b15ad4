"""Files: the only doors through which data from outside enters nagjax.

There is one format for arrays: a `.npz` without pickles. It may carry a JSON
`header`, a dictionary whose `kind` says what the file is. Pytrees (checkpoints,
weights, trained networks) have one array a leaf, called by its place
(`forward.0.message.weight`); typed keys are stored as their data, with the name
of their implementation in the header.

A file is read defensively: what it declares is checked before it is unpacked,
and whatever is wrong with it is one `FileError`, one line that names the file.

The doors, all others stand on them:

  read_record, read_arrays, read_header, array_names   `.npz`
  load_tree                                            `.npz` of a pytree
  read_json, parse_json                                JSON
  read_csv                                             CSV
  read_text                                            text of other formats
  sha256                                               any file
  convert.pickles                                      pickles, restricted
  convert.torch_files                                  PyTorch's, restricted
  convert.tfrecords                                    TFRecords
"""

from nagjax.files.arrays import MAX_BYTES
from nagjax.files.arrays import Declared
from nagjax.files.arrays import Record
from nagjax.files.arrays import array_names
from nagjax.files.arrays import read_arrays
from nagjax.files.arrays import read_header
from nagjax.files.arrays import read_record
from nagjax.files.arrays import write_record
from nagjax.files.atomic import atomic_path
from nagjax.files.atomic import remove_stale
from nagjax.files.base import FileError
from nagjax.files.base import PathLike
from nagjax.files.base import expand
from nagjax.files.base import one_line
from nagjax.files.base import reading
from nagjax.files.base import sha256
from nagjax.files.claims import claimed
from nagjax.files.text import parse_json
from nagjax.files.text import read_csv
from nagjax.files.text import read_json
from nagjax.files.text import read_text
from nagjax.files.trees import is_key
from nagjax.files.trees import leaves_by_name
from nagjax.files.trees import load_tree
from nagjax.files.trees import restore_leaf
from nagjax.files.trees import save_tree

__all__ = [
  "Declared",
  "FileError",
  "MAX_BYTES",
  "PathLike",
  "Record",
  "array_names",
  "atomic_path",
  "claimed",
  "expand",
  "is_key",
  "leaves_by_name",
  "load_tree",
  "one_line",
  "parse_json",
  "read_arrays",
  "read_csv",
  "read_header",
  "read_json",
  "read_record",
  "read_text",
  "reading",
  "remove_stale",
  "restore_leaf",
  "save_tree",
  "sha256",
  "write_record",
]
