"""What the zoo keeps in the Hugging Face cache."""

import argparse


def add(command: argparse.ArgumentParser) -> None:
    del command  # it takes no arguments


def run(options: argparse.Namespace) -> None:
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    from zoo.index import entries

    ours = {entry.repo for entry in entries().values()}
    try:
        repos = [repo for repo in scan_cache_dir().repos if repo.repo_id in ours]
    except CacheNotFound:
        repos = []
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        print(f"{repo.repo_id:40} {repo.size_on_disk / 2**20:8.1f} MiB   {repo.repo_path}")
    print(f"{len(repos)} repositories, {sum(repo.size_on_disk for repo in repos) / 2**20:.1f} MiB")
