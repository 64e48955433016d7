"""Synthetic chest X-rays: a person is a set of anatomical numbers, an exam adds pose, breath and exposure.

>>> import numpy as np
>>> from retrieval import phantom
>>> rng = np.random.default_rng(1)
>>> person = phantom.random_person(rng)
>>> image = phantom.render(person, phantom.random_exam(rng), size=256)
>>> image.shape, str(image.dtype)
((256, 256), 'float32')
"""

from __future__ import annotations

from retrieval.phantom.errors import PhantomValueError
from retrieval.phantom.exam import Devices, Exam, Opacity, View, random_exam
from retrieval.phantom.frontal import render
from retrieval.phantom.person import Marks, Person, Sex
from retrieval.phantom.population import random_person
from retrieval.phantom.side import lateral

__all__ = [
    "Devices",
    "Exam",
    "Marks",
    "Opacity",
    "Person",
    "PhantomValueError",
    "Sex",
    "View",
    "lateral",
    "random_exam",
    "random_person",
    "render",
]
