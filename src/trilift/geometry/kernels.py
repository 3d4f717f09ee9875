"""The arithmetic of triangulation as compiled loops.

Eager tensor operations write and read every intermediate result; these loops keep them in registers and run on the
processor's vector units. Arrays are (view, point) or (row, point): what belongs together for a point lies at the same
place of every row. Detections, weights and errors have the precision of the detections; points and the normal
matrices of the linear solution are in double precision.

Rows are longer than there are points, so that all points take the path of whole vectors: the few at the end of a row
would be rounded differently, and results would depend on what is solved together.

A row of `lens` belongs to a view and holds, at the places named below, its intrinsics, its distortion, and the nine
coefficients of the fitted inverse of its radial distortion (`trilift.geometry.cameras.Lens`).
"""

import numpy as np

from trilift.geometry.kernels_of_views import CX, CY, FX, FY, NEAR, compiled, distort, distortion_of, pose_of, project

# The numbers of a view are tuples, which stay in registers: of arrays the compiler cannot tell that what loops write
# does not change them.


@compiled
def solve_linear(x, y, squared_weights, forms, normal, points):
    """Solve the DLT. `forms` (view, 9, 4): its matrix is linear in w^2 (x^2 + y^2, x, y, 1). `normal` is scratch."""
    size = x.shape[1]
    for k in range(9):
        normal[k, :size] = 0
    for view in range(len(x)):
        of_x, of_y, of_w = x[view], y[view], squared_weights[view]
        for k in range(9):
            f0, f1, f2, f3 = forms[view, k, 0], forms[view, k, 1], forms[view, k, 2], forms[view, k, 3]
            row = normal[k]
            for i in range(size):
                a, b = np.float64(of_x[i]), np.float64(of_y[i])
                row[i] += np.float64(of_w[i]) * (f0 * (a * a + b * b) + f1 * a + f2 * b + f3)
    for i in range(size):
        a, b, c, u = normal[0, i], normal[1, i], normal[2, i], normal[3, i]
        d, e, v, f, w = normal[4, i], normal[5, i], normal[6, i], normal[7, i], normal[8, i]
        ca, cb, cc = d * f - e * e, c * e - b * f, b * e - c * d
        cd, ce, cf = a * f - c * c, b * c - a * e, a * d - b * b
        per = -1 / (a * ca + b * cb + c * cc)
        points[0, i] = (ca * u + cb * v + cc * w) * per
        points[1, i] = (cb * u + cd * v + ce * w) * per
        points[2, i] = (cc * u + ce * v + cf * w) * per


@compiled
def count_views(information, projection, points, views_used, behind):
    """Count the views of each point, and tell whether one of them has it behind the camera."""
    size, one = information.shape[1], np.float64(1)
    for i in range(size):
        views_used[i], behind[i] = 0, False
    for view in range(len(information)):
        pose, of_information = pose_of(projection, view), information[view]
        for i in range(size):
            depth = project(points[0, i], points[1, i], points[2, i], pose, one)[2]
            views_used[i] += of_information[i] > 0
            behind[i] |= (of_information[i] > 0) & (depth <= 0)


@compiled
def reproject(x, y, information, lens, projection, degrees, points, standardised, weights, cost):
    """Reproject points as if lenses did not distort.

    Fills standardised (squared errors over squared scales), weights (those of the Student t with so many degrees of
    freedom over the squared depth, for `solve_linear`) and cost (`_add_up`; infinite for points behind a camera that
    counts).
    """
    size = x.shape[1]
    number = x.dtype.type
    nu, one, two = number(degrees), number(1), number(2)
    cost[:size] = 0
    for view in range(len(x)):
        pose, fx, fy = pose_of(projection, view), lens[view, FX], lens[view, FY]
        of_x, of_y, of_information = x[view], y[view], information[view]
        of_weights, of_standardised = weights[view], standardised[view]
        for i in range(size):
            u, v, depth = project(number(points[0, i]), number(points[1, i]), number(points[2, i]), pose, one)
            error_x, error_y = (u - of_x[i]) * fx, (v - of_y[i]) * fy
            w = of_information[i]
            squared = (error_x * error_x + error_y * error_y) * w
            of_standardised[i] = squared
            of_weights[i] = (nu + two) / (nu + squared) * w / (depth * depth)
            cost[i] = np.inf if (w > 0) & (depth <= 0) else cost[i]
    _add_up(standardised, degrees, cost)


@compiled
def reproject_distorted(px, py, information, lens, projection, degrees, points, squared, standardised, cost):
    """Give squared errors in pixels, and those of detections that count over squared scales; cost as `reproject`."""
    size = px.shape[1]
    number = px.dtype.type
    zero, one = number(0), number(1)
    cost[:size] = 0
    for view in range(len(px)):
        pose, coefficients = pose_of(projection, view), distortion_of(lens, view)
        cx, cy, fx, fy = lens[view, CX], lens[view, CY], lens[view, FX], lens[view, FY]
        of_px, of_py, of_information = px[view], py[view], information[view]
        of_squared, of_standardised = squared[view], standardised[view]
        for i in range(size):
            u, v, depth = project(number(points[0, i]), number(points[1, i]), number(points[2, i]), pose, one)
            x, y, _, _, _ = distort(u, v, coefficients, one)
            error_x, error_y = x * fx + cx - of_px[i], y * fy + cy - of_py[i]
            value = error_x * error_x + error_y * error_y
            w = of_information[i]
            of_squared[i] = value
            of_standardised[i] = value * w if w > zero else zero
            cost[i] = np.inf if (w > 0) & (depth <= 0) else cost[i]
    _add_up(standardised, degrees, cost)


@compiled
def _add_up(standardised, degrees, cost):
    """Add the negative log-likelihood, but for a constant and a factor; eight factors at a time share a logarithm."""
    views, size = len(standardised), standardised.shape[1]
    for first in range(0, views, 8):
        for i in range(size):
            product = 1.0
            for view in range(first, min(first + 8, views)):
                product *= 1.0 + np.float64(standardised[view, i]) / degrees
            cost[i] += np.log(product)


@compiled
def linearise(px, py, information, lens, projection, degrees, points, normal, gradient):
    """Give J^T W J (6 rows: its upper triangle) and J^T W r (3 rows) of the reprojection errors with distortion."""
    size = px.shape[1]
    number = px.dtype.type
    nu, zero, one, two, near = number(degrees), number(0), number(1), number(2), number(NEAR)
    normal[:, :size] = 0
    gradient[:, :size] = 0
    n0, n1, n2, n3, n4, n5 = normal[0], normal[1], normal[2], normal[3], normal[4], normal[5]
    g0, g1, g2 = gradient[0], gradient[1], gradient[2]
    for view in range(len(px)):
        pose, coefficients = pose_of(projection, view), distortion_of(lens, view)
        cx, cy, fx, fy = lens[view, CX], lens[view, CY], lens[view, FX], lens[view, FY]
        p, q, r = pose
        of_px, of_py, of_information = px[view], py[view], information[view]
        for i in range(size):
            u, v, depth = project(number(points[0, i]), number(points[1, i]), number(points[2, i]), pose, one)
            # A point that a camera does not see, or that strayed behind it, may have any projection, even infinite.
            counts = of_information[i] > zero and depth > near
            u, v, depth = u if counts else zero, v if counts else zero, depth if counts else one
            w = of_information[i] if counts else zero
            x, y, dxdx, dxdy, dydy = distort(u, v, coefficients, one)
            error_x, error_y = x * fx + cx - of_px[i], y * fy + cy - of_py[i]
            value = error_x * error_x + error_y * error_y
            value = value * w if w > zero else zero
            error_x, error_y = error_x if w > zero else zero, error_y if w > zero else zero
            # Rows of F D [1 0 -u; 0 1 -v] / depth, with F the focal lengths and D the slopes of the distortion, ...
            fx_per, fy_per = fx / depth, fy / depth
            ax, ay, bx, by = dxdx * fx_per, dxdy * fx_per, dxdy * fy_per, dydy * fy_per
            az, bz = -(ax * u + ay * v), -(bx * u + by * v)
            # ... in the world frame.
            j0, l0 = ax * p[0] + ay * q[0] + az * r[0], bx * p[0] + by * q[0] + bz * r[0]
            j1, l1 = ax * p[1] + ay * q[1] + az * r[1], bx * p[1] + by * q[1] + bz * r[1]
            j2, l2 = ax * p[2] + ay * q[2] + az * r[2], bx * p[2] + by * q[2] + bz * r[2]
            t = (nu + two) / (nu + value) * w
            n0[i] += t * (j0 * j0 + l0 * l0)
            n1[i] += t * (j0 * j1 + l0 * l1)
            n2[i] += t * (j0 * j2 + l0 * l2)
            n3[i] += t * (j1 * j1 + l1 * l1)
            n4[i] += t * (j1 * j2 + l1 * l2)
            n5[i] += t * (j2 * j2 + l2 * l2)
            g0[i] += t * (j0 * error_x + l0 * error_y)
            g1[i] += t * (j1 * error_x + l1 * error_y)
            g2[i] += t * (j2 * error_x + l2 * error_y)


@compiled
def step(normal, gradient, points, stepped, inverse):
    """Solve for a step of Gauss-Newton, slightly damped; gives the inverse of the normal matrix (9 rows), too."""
    more = 1 + 1e-6
    for i in range(points.shape[1]):
        a, b, c = normal[0, i] * more, np.float64(normal[1, i]), np.float64(normal[2, i])
        d, e, f = normal[3, i] * more, np.float64(normal[4, i]), normal[5, i] * more
        u, v, w = np.float64(gradient[0, i]), np.float64(gradient[1, i]), np.float64(gradient[2, i])
        ca, cb, cc = d * f - e * e, c * e - b * f, b * e - c * d
        cd, ce, cf = a * f - c * c, b * c - a * e, a * d - b * b
        per = 1 / (a * ca + b * cb + c * cc)
        stepped[0, i] = points[0, i] - (ca * u + cb * v + cc * w) * per
        stepped[1, i] = points[1, i] - (cb * u + cd * v + ce * w) * per
        stepped[2, i] = points[2, i] - (cc * u + ce * v + cf * w) * per
        inverse[0, i], inverse[1, i], inverse[2, i] = ca * per, cb * per, cc * per
        inverse[3, i], inverse[4, i], inverse[5, i] = cb * per, cd * per, ce * per
        inverse[6, i], inverse[7, i], inverse[8, i] = cc * per, ce * per, cf * per


@compiled
def find_suspicious(information, standardised, limit, point, view):
    """List detections over the limit whose points have more than two views; returns how many there are."""
    views, size = information.shape
    found = 0
    for v in range(views):
        for i in range(size):
            if standardised[v, i] > limit:
                count = 0
                for other in range(views):
                    count += information[other, i] > 0
                if count > 2:
                    point[found], view[found] = i, v
                    found += 1
    return found


@compiled
def gather(x, y, information, point, left_out, some_x, some_y, some_information, without):
    """Copy the listed points; `without` is their information without the view that each leaves out."""
    for v in range(len(x)):
        for k in range(len(point)):
            i = point[k]
            some_x[v, k], some_y[v, k], some_information[v, k] = x[v, i], y[v, i], information[v, i]
            without[v, k] = 0 if left_out[k] == v else information[v, i]
        for rows in (some_x, some_y, some_information, without):
            rows[v, len(point) :] = 0


@compiled
def take_better(point, candidates, candidate_cost, points, cost):
    for k in range(len(point)):
        i = point[k]
        if candidate_cost[k] < cost[i]:
            cost[i] = candidate_cost[k]
            for axis in range(3):
                points[axis, i] = candidates[axis, k]


@compiled
def look_up(table, values, found):
    """Take from table (view, keypoint, level) for values (frame, view, keypoint) from 0 to 1; the level above counts.

    NaN and values below 0 have level 0, values above 1 the last one.
    """
    frames, views, keypoints = values.shape
    last = table.shape[2] - 1
    for frame in range(frames):
        for view in range(views):
            for keypoint in range(keypoints):
                value = values[frame, view, keypoint] * last
                level = int(np.ceil(min(value, last))) if value > 0 else 0
                found[frame, view, keypoint] = table[view, keypoint, level]


@compiled
def write(points, inverse, information, squared, standardised, cost, rejected_from, factor, solution):
    """Write what was found of points into the arrays (frame, ...) of a solution; those of infinite cost are lost."""
    of_points, covariance, error, inlier = solution
    frames, views, keypoints = error.shape
    i = 0
    for frame in range(frames):
        for keypoint in range(keypoints):
            count = 0
            for view in range(views):
                used = (information[view, i] > 0) & (standardised[view, i] < rejected_from)
                inlier[frame, view, keypoint] = used
                error[frame, view, keypoint] = np.sqrt(squared[view, i])
                count += used
            for k in range(3):
                of_points[frame, keypoint, k] = points[k, i]
            for k in range(9):
                covariance[frame, keypoint, k] = inverse[k, i] * factor
            if count < 2 or cost[i] == np.inf:
                of_points[frame, keypoint] = np.nan
                covariance[frame, keypoint] = np.nan
                for view in range(views):
                    inlier[frame, view, keypoint] = False
                    error[frame, view, keypoint] = np.nan
            i += 1
