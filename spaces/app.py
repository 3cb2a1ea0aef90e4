"""The demo app as a Hugging Face Space: it shows the same page as `zoo app`."""

from zoo.app.page import LARGEST, build

app = build()

if __name__ == "__main__":
    app.queue(default_concurrency_limit=1).launch(show_error=True, max_file_size=LARGEST)
