"""The frontal chest X-ray of a synthetic person: each tissue's thickness is drawn, weighted and summed."""

from __future__ import annotations

import numpy as np

from retrieval.phantom import anatomy
from retrieval.phantom.errors import PhantomValueError
from retrieval.phantom.exam import Exam, View
from retrieval.phantom.film import expose
from retrieval.phantom.foreign import device_shadow
from retrieval.phantom.person import Person
from retrieval.phantom.projection import Canvas, Map, Projection, blur, dome

MIN_SIZE, MAX_SIZE = 64, 4096

_TISSUE = 0.19
"""Attenuation of soft tissue per cm at a chest exposure's mean photon energy."""
_LUNG_SHARE = 0.72
_RIB_POSTERIOR, _RIB_ANTERIOR, _RIB_EDGE, _COLLAR_BONE = 0.34, 0.24, 0.17, 0.42


def render(person: Person, exam: Exam, size: int = 1024) -> Map:
    """Frontal chest X-ray of `person` in `exam`; the same arguments always give the same pixels.

    Args:
        person: anatomy.
        exam: pose, breath, exposure and devices.
        size: pixels a side, 64 to 4096.

    Returns:
        float32 (size, size) in [0, 1]: air dark, bone bright, the person's right side at the left edge.

    Raises:
        PhantomValueError: `size` out of range.
    """
    check_size(size)
    projection = Projection(exam, size)
    body = _body(person, projection)
    lungs = _lungs(person, exam, projection)
    attenuation = _soft_tissue(person, exam, projection, body)
    attenuation -= _air(person, exam, projection, lungs)
    attenuation += thoracic_bones(person, exam, projection)
    attenuation += _shoulders(person, exam, projection)
    attenuation += _spine(person, exam, projection)
    attenuation += device_shadow(person, exam, projection)
    np.maximum(attenuation, 0.0, out=attenuation)
    return expose(attenuation, lungs, body, exam)


def check_size(size: int) -> None:
    """Refuse an image side outside 64 to 4096 pixels with PhantomValueError."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise PhantomValueError(f"size must lie between {MIN_SIZE} and {MAX_SIZE} pixels, not {size}")


def _body(person: Person, projection: Projection) -> Map:
    canvas = Canvas(projection)
    canvas.fill(anatomy.body_outline(person), 1.0)
    return canvas.smooth(0.5)


def _lungs(person: Person, exam: Exam, projection: Projection) -> Map:
    canvas = Canvas(projection)
    side_of_fluid = 1 if exam.seed % 2 else -1
    for side in (-1, 1):
        effusion = exam.effusion if side == side_of_fluid else 0.0
        canvas.fill(anatomy.lung_outline(person, side, exam.breath, effusion), 1.0)
    return canvas.smooth(0.09)


def _soft_tissue(person: Person, exam: Exam, projection: Projection, body: Map) -> Map:
    thickness = 2.0 * person.half_depth * (0.92 + 0.22 * person.tissue)
    layer = dome(body, 4.5 * projection.scale)
    layer *= np.float32(_TISSUE * thickness)
    layer *= body
    if person.breast > 0.0:
        canvas = Canvas(projection)
        radius = 4.2 + 2.6 * person.breast
        sag = person.breast_y + (0.0 if exam.view is View.PA else -1.0)
        for side in (-1, 1):
            x = side * (person.half_width * 0.62)
            canvas.fill(anatomy.ellipse(x, sag, radius * 1.12, radius, side * 0.25), 1.0)
        mask = canvas.smooth(0.18)
        layer += mask * (0.25 + dome(mask, 2.6 * projection.scale)) * np.float32(0.62 * person.breast)
    return layer


def _air(person: Person, exam: Exam, projection: Projection, lungs: Map) -> Map:
    scale = projection.scale
    depth = 1.55 * person.half_depth
    air = dome(lungs, 2.2 * scale)
    canvas = Canvas(projection)
    for outline in anatomy.heart_outlines(person, exam.breath):
        canvas.fill(outline, 1.0)
    heart = canvas.smooth(0.22)
    heart *= 0.45 + 0.45 * dome(heart, 2.4 * scale)
    air *= 1.0 - heart
    air *= np.float32(_TISSUE * _LUNG_SHARE * depth)
    air *= lungs
    markings = _vessels(person, exam, projection)
    for opacity in exam.opacities:
        spot = Canvas(projection)
        spot.fill(anatomy.ellipse(opacity.x, opacity.y, opacity.radius, opacity.radius * 0.8, opacity.x), 1.0)
        markings = np.maximum(markings, spot.smooth(opacity.radius * 0.45) * np.float32(opacity.density * 1.6))
    air -= markings * lungs * (1.0 - heart)
    air += _trachea(person, exam, projection)
    if exam.stomach_gas > 0.0:
        gas = Canvas(projection)
        bubble = anatomy.ellipse(6.0, person.dome_left + 2.6, 2.8, 1.5 * exam.stomach_gas, -0.2)
        gas.fill(anatomy.breathe(bubble, exam.breath), 1.0)
        air += gas.smooth(0.35) * np.float32(0.9 * exam.stomach_gas)
    return air


def _vessels(person: Person, exam: Exam, projection: Projection) -> Map:
    canvas = Canvas(projection)
    tree = anatomy.vessel_tree(
        person.seed, person.hilum_right_y, person.hilum_left_y, person.vessel_density, person.half_width
    )
    for course, width in tree:
        canvas.stroke(anatomy.breathe(course, exam.breath), width, min(1.0, 0.22 + width * 1.2))
    fine = canvas.smooth(0.06)
    fine += 0.5 * blur(fine, 0.6 * projection.scale)
    fine *= np.float32(0.34)
    return fine


def _trachea(person: Person, exam: Exam, projection: Projection) -> Map:
    canvas = Canvas(projection)
    y = np.linspace(-20.0, -5.2, 12)
    x = anatomy.spine_x(person, y) * 0.5 - 0.05 * (y + 16.0)
    canvas.stroke(np.stack([x, y, np.full(12, 1.5)], axis=1), 1.7, 0.75)
    for side, reach in ((-1, 3.2), (1, 4.2)):
        branch = np.array([[x[-1], -5.4, 0.0], [side * reach, -5.2 + reach * 0.75, 0.0]])
        canvas.stroke(anatomy.breathe(branch, exam.breath), 1.0, 0.45)
    return canvas.smooth(0.2) * np.float32(0.62)


def thoracic_bones(person: Person, exam: Exam, projection: Projection) -> Map:
    """Attenuation (size, size) of ribs and collar bones, front and back parts summed where they cross."""
    back, front, edge = Canvas(projection), Canvas(projection), Canvas(projection)
    collar = Canvas(projection)
    for index, rib in enumerate(person.ribs):
        course, angle = anatomy.rib_course(person, rib, exam.breath)
        breaks = tuple(where for which, where in person.marks.fractures if which == index)
        upper, lower = anatomy.rib_ribbon(course, angle, rib, breaks)
        turning = int(np.searchsorted(angle, np.pi / 2))
        strength = 0.65 * rib.density
        back.fill(np.concatenate([upper[: turning + 2], lower[: turning + 2][::-1]]), strength)
        if turning < angle.size - 3:
            front.fill(np.concatenate([upper[turning:], lower[turning:][::-1]]), strength)
        edge.stroke(lower, 0.13, 0.85 * rib.density)
        edge.stroke(upper, 0.10, 0.55 * rib.density)
    for clavicle in person.clavicles:
        course = anatomy.clavicle_course(clavicle, exam.arms)
        collar.stroke(course, clavicle.width, 0.9)
        edge.stroke(course + np.array([0.0, clavicle.width / 2, 0.0]), 0.15, 0.8)
        edge.stroke(course - np.array([0.0, clavicle.width / 2, 0.0]), 0.15, 0.8)
    bones = back.smooth(0.13) * np.float32(_RIB_POSTERIOR)
    bones += front.smooth(0.13) * np.float32(_RIB_ANTERIOR)
    bones += collar.smooth(0.16) * np.float32(_COLLAR_BONE)
    bones += edge.smooth(0.04) * np.float32(_RIB_EDGE)
    return bones


def _shoulders(person: Person, exam: Exam, projection: Projection) -> Map:
    flat, rim = Canvas(projection), Canvas(projection)
    for shoulder in person.shoulders:
        outline = anatomy.blade_outline(shoulder, exam.arms)
        flat.fill(outline, 0.35)
        rim.stroke(outline, 0.28, 0.6, closed=True)
        joint_x = shoulder.side * (shoulder.blade_x + 0.62 * shoulder.blade_width + 0.5 * exam.arms)
        joint_y = shoulder.blade_y - 0.36 * shoulder.blade_height
        flat.fill(anatomy.ellipse(joint_x, joint_y, shoulder.head_radius, shoulder.head_radius), 0.95)
        shaft = np.array([[joint_x, joint_y], [joint_x + shoulder.side * 2.4, joint_y + 14.0]])
        flat.stroke(shaft, 2.3, 0.9)
    bones = flat.smooth(0.2) * np.float32(0.5)
    bones += rim.smooth(0.08) * np.float32(0.26)
    return bones


def _spine(person: Person, exam: Exam, projection: Projection) -> Map:
    canvas, detail = Canvas(projection), Canvas(projection)
    spine = person.spine
    half = spine.width / 2
    for level in range(-3, 15):
        y = -13.9 + level * (spine.vertebra_height + 0.06 * level * 0.3)
        x = float(anatomy.spine_x(person, np.array([y]))[0])
        body = spine.vertebra_height * 0.43
        wide = half * (0.85 + 0.02 * level)
        waist = wide * 0.87
        block = np.array([(-wide, -body), (wide, -body), (waist, 0), (wide, body), (-wide, body), (-waist, 0)])
        z = np.full((6, 1), -person.half_depth * 0.5)
        canvas.fill(np.hstack([block + np.array([x, y]), z]), 0.8)
        for side in (-1, 1):
            pedicle = anatomy.ellipse(x + side * wide * 0.62, y - 0.2, 0.38, 0.55, count=14)
            detail.stroke(pedicle, 0.16, 0.7, closed=True)
        process = anatomy.ellipse(x + spine.process_skew, y + 1.0, 0.32, 0.7, count=14)
        detail.fill(process, 0.8)
    bones = canvas.smooth(0.12) * np.float32(0.42)
    bones += detail.smooth(0.07) * np.float32(0.25)
    return bones
