"""The demo app of `zoo app`: `answers.py` computes the answer of each tab, `page.py` builds the page with Gradio."""
