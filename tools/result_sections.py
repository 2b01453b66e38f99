"""The sections of docs/results.md: which tool measures each, and how to read its tables."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from ablations import ablations

DEMO_RUN = "runs/bench_demo/seed0/stm32f100"
EXPERIMENTS = "experiments"
HANDMADE_TEXT = " They were trained before; the time below is that of reading the rows."
ABLATION_TEXT = " int8 on the whole test part; the time below is that of reading the runs."

RANK_TEXT = """\
Dense (ratio 1) and factored networks that fit the same flash, of an STM32F746 with 12 KB of SRAM.
Of 1,000 subnets per seed, the same widths at every ratio, the one of most multiply-accumulates
that fits is trained for 8 epochs of 12,000 images: from random weights (`scratch`), or 4 of these
epochs as a dense network, which is then factored, and 4 more (`svd`; at ratio 1 nothing is
factored). `flash`: kernels read weights in flash; `staged`: the largest weight matrix counts as
SRAM, as in the paper. Intervals are Student's over the seeds, each flash limit with a mean of its
own. The time below is that of reading the records."""


@dataclass(frozen=True)
class Section:
    """One part of the page: the tables of a tool.

    Args:
        title: heading.
        tool: name of the tool in tools/.
        arguments: arguments of the tool.
        text: how to read the tables, in Markdown.
        before: commands that made what the tool reads.
    """

    title: str
    tool: str
    arguments: tuple[str, ...]
    text: str
    before: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command that a user would type."""
        return shlex.join(("python", f"tools/{self.tool}.py", *self.arguments))


SECTIONS = {
    "demo": Section(
        "The demo",
        "bench_demo",
        (),
        "The whole chain on scikit-learn's digits. Every logit of every test image is the same"
        " integer in numpy, in C on this computer and on the emulated chip; the arena as linked is"
        " the arena as planned.",
    ),
    "kernels": Section(
        "Kernels",
        "bench_kernels",
        (),
        "Executed instructions, packing, bias and requantisation included. CMSIS-NN (commit"
        " 99f736a6) and TinyEngine (47bb283): their best kernel, measured in the same way. Cycles"
        " are a model by published pipeline rules (`tools/pipeline.py`), not a measurement on a"
        " chip; CMSIS-NN's by the same rules.",
    ),
    "networks": Section(
        "Whole networks",
        "bench_network",
        (),
        "Random weights, two images each. `paper_320k` is the paper's network for 320 KB, for which"
        " the paper states 319 kB.",
    ),
    "components": Section(
        "Components in somebody's firmware",
        "bench_components",
        (),
        "One network per device, with random weights, as a library in a CMake project that knows"
        " nothing of this one; its self-test and one image run in the emulator, within the device's"
        " memory. SRAM linked counts the stack's reserve, used the painted stack. The bound of the"
        " stack is the largest sum of frames along the calls, with room for one interrupt.",
    ),
    "network_83000": Section(
        "The paper's network within 83,000 bytes",
        "bench_network",
        ("paper_320k_strip", "--budget", "83000"),
        "Less memory for more instructions: the planner takes fewer heads at a time.",
    ),
    "memory": Section(
        "What each memory pass saves",
        "ablate_memory",
        (),
        "Arena bytes, and percent saved against the first row, which schedules as CMSIS-NN and"
        " TinyEngine do. `flash`: kernels read weights in flash, as the exporter plans; `staged`:"
        " the largest weight matrix of a call is added, as the paper counts. The paper reports"
        " 23.8 % for operator integration.",
    ),
    "exports": Section(
        "Random exports compared",
        "sweep_exports",
        (),
        "Networks of the digits and Fashion-MNIST spaces with every form, tokenizer and position.",
    ),
    "operators": Section(
        "Operator forms",
        "compare_operators",
        ("--run", DEMO_RUN),
        "Errors of GELU over [-4, 4], of exponentials over [0, 16] and of roots (relative) are the"
        " form's own; the others are in steps of the int8 output. Instructions are per element of"
        " the output, per score for the softmax; kernels are called one by one, while a streamed"
        " block spends less. int8 is the accuracy of the demo's network of seed 0.",
    ),
    "quantization": Section(
        "Quantisation of the demo's network",
        "compare_quantization",
        (DEMO_RUN,),
        "Whole test part; the network of seed 0.",
    ),
    "trend": Section(
        "Space selectors on made-up landscapes",
        "bench_trend",
        ("--seeds", "100"),
        "Grids of 60 points with a known optimum; regret is how far the chosen point is below it,"
        " mean ± standard deviation over the seeds of landscape, start and noise. `behind` is the"
        " distance to the best selector in pooled standard deviations.",
    ),
    "space_tables": Section(
        "Space selectors on measured grids",
        "bench_trend",
        (
            "--table",
            "tests/data/space_table_digits.json",
            "tests/data/space_table_fashion_mnist.json",
        ),
        "Every point of two grids was trained from two seeds (`tools/tabulate_space.py`). Regret is"
        " how far the mean score of the chosen point after the longest training is below the best.",
    ),
    "trend_settings": Section(
        "Settings of the trend on measured grids",
        "bench_trend",
        (
            "--table",
            "tests/data/space_table_digits.json",
            "tests/data/space_table_fashion_mnist.json",
            "--ablate",
            "--seeds",
            "60",
        ),
        "MCUFormer's table 2 (k) and figures 4 and 5 (visits, tau) with many starts, on the grids"
        " above. `visits of a point`: regret of the points that a search visited once, twice and so"
        " on, after equally long trainings, so that a longer one does not flatter them.",
    ),
    "ranking": Section(
        "How well evaluators rank subnets",
        "rank_correlation",
        (
            "data=fashion_mnist",
            "data.root=data/fashion_mnist",
            "device=stm32f100",
            "recipe=small_images",
            "point.rank_ratio=1.0",
            "point.patch_size=7",
            "threads=1",
        ),
        "Kendall's tau-b with the test accuracy of trainings from scratch (8 epochs of 12,000"
        " Fashion-MNIST images, mean over the seeds), and 95 % intervals by bootstrap over subnets:"
        " 30 spread over all sizes, and 30 in a band within 20 % of the largest MACs, where size"
        " says little. Supernets train for 20 epochs; `finetuned_1` is one epoch from inherited"
        " weights, `scratch_2` two from nothing; `predictor` is fitted to `finetuned_1` of 60 other"
        " subnets, `predictor_inherited` to the inherited accuracy of 150. The last row is the"
        " ceiling: one seed of the truth against another. The last columns are paired differences"
        " of tau in the band. The time below is that of reading the records; the trainings took"
        " about 60 CPU minutes.",
    ),
    "rank": Section(
        "Low rank at equal flash",
        "ablate_rank",
        ("data.root=data/fashion_mnist",),
        RANK_TEXT,
    ),
    "rank_cifar10": Section(
        "Low rank at equal flash, colour images",
        "ablate_rank",
        (
            "data=cifar10",
            "data.root=data/cifar10",
            "budget.sram_bytes=16384",
            "--flash-kb",
            "128",
            "--train-images",
            "10000",
        ),
        "As above, with 10,000 images of CIFAR-10, a tenth of whose training images is the test"
        " part, and 16 KB of SRAM.",
    ),
    "admission": Section(
        "What fits, by estimator",
        "admission_map",
        ("--devices", "stm32f746"),
        "Share of 200 sampled subnets of the paper's T space that fit the SRAM, by patch size and"
        " rank ratio r. `paper` is MCUFormer's criterion, `released` its code's estimate, `planner`"
        " the exporter's own plan, `exact` the released estimate without sampling.",
    ),
    "scaling": Section(
        "What the paper's search costs",
        "estimate_scaling",
        ("--images", "96"),
        "**An estimate: no run of this size was made.** Hours of `evolve.space` (30 visits of 30"
        " epochs) and `evolve.search` (1,000 candidates) together, on ImageNet in the space T."
        " [scaling.md](scaling.md) says what is assumed, and what changed between before and after."
        " What a core augments and normalises was measured, in CPU time.",
    ),
    "supernet": Section(
        "What elasticity costs",
        "bench_supernet",
        (),
        "Eight sampled subnets per preset, medians. `autoformer_t`: 224 px, batch 16, relative"
        " position; `fashion_mnist`: patch 4, rank ratio 0.5, batch 128.",
    ),
    **{
        a.name: Section(a.title, "collect", a.arguments, a.text + ABLATION_TEXT, a.runs)
        for a in ablations()
    },
    "mnist_small": Section(
        "MNIST by bytes of weights",
        "collect",
        ("runs/mnist_small", "--by", "budget"),
        "The experiment `mnist_small` at three limits of `budget.weights_bytes`, one seed, the last"
        " in a wider space. Published: 99.19 % at 480 bytes (muNAS) and 98.64 % at 2.77 KB"
        " (SpArSe), both of convolutions. 99 % is held at the last limit alone. The time below is"
        " that of reading the runs.",
        (
            "python -m mcuformer -m +experiment=mnist_small data.root=data/mnist"
            " budget.weights_bytes=4096,7168 'run_dir=runs/mnist_small/${budget.weights_bytes}'"
            " points_dir=runs/mnist_small/points",
            "python -m mcuformer +experiment=mnist_small data.root=data/mnist"
            " budget.weights_bytes=12288 'space.embed_dim=[16,20,24]' space.stem_dim=8"
            " run_dir=runs/mnist_small/12288",
        ),
    ),
    "handmade_digits": Section(
        "Searched against hand-made networks: digits",
        "compare_handmade",
        (
            "subnet=runs/digits/seed_0/finetuned_subnet.json",
            "device=stm32f100",
            "--flash-bytes",
            "49152",
            "--sram-bytes",
            "8192",
        ),
        "The network that the experiment `digits` found with seed 0, and plain ViTs of the most"
        " width that its budget admits; all trained alike, from nothing, without a teacher."
        + HANDMADE_TEXT,
        ("python -m mcuformer +experiment=digits seed=0 run_dir=runs/digits/seed_0",),
    ),
    "handmade_fashion": Section(
        "Searched against hand-made networks: Fashion-MNIST",
        "compare_handmade",
        (
            "subnet=runs/fashion_mnist_64k/finetuned_subnet.json",
            "device=stm32f405",
            "data=fashion_mnist",
            "data.root=data/fashion_mnist",
            "recipe=small_images",
            "recipe.epochs=20",
            "recipe.warmup_epochs=2",
            "recipe.lr=2e-3",
            "recipe.ema_decay=0.99",
            "--images",
            "5000",
            "--weights-bytes",
            "65536",
            "--sram-bytes",
            "13312",
        ),
        "The network of the experiment `fashion_mnist_64k`, and plain ViTs behind the same"
        " convolutions. All learn for 20 epochs of 5,000 training and all 6,000 steering images:"
        " far less than the experiment's training, to have three seeds of each. The searched"
        " network does not beat the best of them here." + HANDMADE_TEXT,
        (
            "python -m mcuformer +experiment=fashion_mnist_64k data.root=data/fashion_mnist"
            " run_dir=runs/fashion_mnist_64k",
        ),
    ),
    EXPERIMENTS: Section(
        "Experiments",
        "collect",
        ("RUN", "...", "--results", "experiments"),
        "Files of `conf/experiment`, run by the commands below. int8 is the integer reference on"
        " the whole test part, which a folder or a set has by itself, or which was set aside; the"
        " photographs are of five flowers. Bytes are those of the built firmware, of which the"
        " weights are those that published sizes count. The paper's count is the largest weight"
        " matrix of a block and the largest input or output of a layer, without the working memory"
        " that a firmware has. CPU hours are wall-clock time of all stages by the number of"
        " threads; a run by several commands has not recorded them all.",
        ("python -m mcuformer +experiment=digits seed=0 run_dir=runs/digits/seed_0",),
    ),
}
