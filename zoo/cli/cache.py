"""What the zoo keeps in the Hugging Face cache; `zoo cache rm NAME…` removes it."""

import argparse

from zoo.errors import InputError


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("action", nargs="?", choices=("rm",), help="rm removes models from the cache")
    command.add_argument("names", nargs="*", help="models to remove")


def run(options: argparse.Namespace) -> None:
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    from zoo.index import entries, info

    ours = {entry.repo for entry in entries().values()}
    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE)
        repos = [repo for repo in found.repos if repo.repo_id in ours]
    except CacheNotFound:
        found, repos = None, []
    if options.action == "rm":
        if not options.names:
            raise InputError("name the models to remove: zoo cache shows what is there")
        wanted = {info(name).repo for name in options.names}
        gone = [repo for repo in repos if repo.repo_id in wanted]
        if found is not None and gone:
            found.delete_revisions(*(revision.commit_hash for repo in gone for revision in repo.revisions)).execute()
        print(f"{len(gone)} repositories removed, {sum(repo.size_on_disk for repo in gone) / 2**20:.1f} MiB")
        return
    for repo in sorted(repos, key=lambda repo: repo.repo_id):
        print(f"{repo.repo_id:40} {repo.size_on_disk / 2**20:8.1f} MiB   {repo.repo_path}")
    print(f"{len(repos)} repositories, {sum(repo.size_on_disk for repo in repos) / 2**20:.1f} MiB")
