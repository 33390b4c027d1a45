"""The table of layouts: how the files of a data set lie in folders.

A layout NAME is a line of this table and a module `compress.data.layouts.NAME` with the functions

    list_files(spec: str, root: Path, seed: int) -> Listing
    recognise(root: Path) -> str

`list_files` lists the files of the data set in the folder `root`. `spec` is the value of `--data`, for messages. `seed`
draws the split of a data set that has none. `recognise` says what shows that a folder has the layout, or nothing:
`folder:DIR` asks the layouts in the order of this table. A module is imported when its layout is used, so the table
costs nothing.
"""

# the name of a layout, and how `--data` gives it
LAYOUTS = {
    "landcover": "landcover",
    "camvid": "camvid:DIR",
    "voc": "voc:DIR",
    "cityscapes": "cityscapes:DIR",
    "ade20k": "ade20k:DIR",
    "cvat": "cvat:DIR",
    "roboflow": "roboflow:DIR",
    "coco": "coco:FILE_OR_DIR",
    "labelme": "labelme:DIR",
    "yolo": "yolo:DIR",
    "parquet": "parquet:DIR",
    "folder": "folder:DIR",
}
