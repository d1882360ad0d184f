"""Fair comparisons: every arm tuned alike, then all arms run on the same fresh seeds.

An `Arm` is a name with its knobs; those that are a range are tuned. An `Experiment` gives every arm
the same number of trials on seeds that decide nothing, sees to it that the best value lies inside
its range, and then runs what was chosen on the seeds that decide, paired. Its `Outcome` prints what
came out, with what each interval covers, and is made for `nnbook.claims`.

A seed is a whole repetition: what a `Task` draws for it (training examples, validation, test), the
initial weights, the order. `panel` has ten small tasks, real and synthetic; `TrainOnTask` trains
networks on one of them. An experiment on anything else takes a function ``run(seed, **knobs)``.
"""

from nnbook._lazy import attach

__all__, __getattr__, __dir__ = attach(__name__)
