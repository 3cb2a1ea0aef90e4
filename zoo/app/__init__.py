"""The demo app of `zoo app`: `answers.py` says what each tab answers, `page.py` builds the page with Gradio."""
