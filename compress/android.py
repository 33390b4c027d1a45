"""python -m compress.android RUN|MODEL.tflite [--out DIR] [--application-id ID] [--app-name NAME] [--webview-apk FILE]:
an Android Studio project with the model, its labels and its colours in place.

The app shows the camera with the classes over it, the share of each class and the milliseconds. The model runs by
MediaPipe's ImageSegmenter, on the CPU or the GPU of the phone. --webview-apk writes the page of compress.demo as a
signed app instead, which needs no Android SDK.
"""

import argparse

from compress.stages.cli import Command, run_command
from compress.stages.command import add_model_argument
from compress.stages.flag_values import expand_path


def add_arguments(flags: argparse.ArgumentParser) -> None:
    """Adds the flags of the command.

    Args:
        flags: The command's parser.
    """
    add_model_argument(flags)
    flags.add_argument("--out", type=expand_path, help="folder of the project (default: android beside the model)")
    flags.add_argument("--application-id", default="com.example.segmentation", metavar="ID", help="the app's id")
    flags.add_argument("--app-name", default="Segmentation", metavar="NAME", help="the name that the phone shows")
    flags.add_argument(
        "--webview-apk", type=expand_path, metavar="FILE", help="write the demo page as this .apk instead"
    )


def run(given: argparse.Namespace) -> None:
    """Writes the project.

    Args:
        given: The flags.
    """
    if given.webview_apk is not None:
        from compress.apps.android.webview.apk import build_apk

        build_apk(given.model, given.webview_apk, given.application_id, given.app_name)
        print(f"{given.webview_apk}: adb install it, or open it on the phone")
        return
    from compress.apps.android.build import build_android  # the parser must not wait for numpy and LiteRT

    out = given.out or (given.model if given.model.is_dir() else given.model.parent) / "android"
    build_android(given.model, out, given.application_id, given.app_name)
    print(f"{out}: open this folder with Android Studio and press Run")


COMMAND = Command("compress.android", __doc__, add_arguments, run)
main = COMMAND.main

if __name__ == "__main__":
    run_command(main)
