// Forward, then backward through the tasks: symmetric successive over-relaxation, so a real spectrum.
//
// With C = A I + B 11^T an episode on task i is e <- e - C_i e_i. A forward and a backward epoch together
// are 1 - P^-1 C in other coordinates, with P = (1 + L)(1 + L^T)/(2 - D), L the lower triangle of C and
// D = A + B its diagonal: similar to 1 - K^-1 C K^-T, which is symmetric (docs/theory.md, on orders).

/**
 * Eigenvalues of one forward and one backward epoch together, largest first.
 *
 * @returns {Float64Array | null} T real numbers; null where A + B reaches 2 and the form breaks down
 */
export function palindromeEigenvalues(slow, fast, tasks) {
  const sum = slow + fast;
  if (sum >= 2) return null;
  // (1 + L)^-1 C (1 + L)^-T (2 - D): C has ones times B below, so both solves are running sums, O(T^2).
  const matrix = Array.from({ length: tasks }, (_, j) =>
    Float64Array.from({ length: tasks }, (__, k) => (j === k ? sum : fast)),
  );
  for (let pass = 0; pass < 2; pass++) {
    // Solves (1 + L) X = matrix, L = B below the diagonal, then transposes: twice is both sides.
    const running = new Float64Array(tasks);
    for (let j = 0; j < tasks; j++) {
      const row = matrix[j];
      for (let k = 0; k < tasks; k++) {
        row[k] -= fast * running[k];
        running[k] += row[k];
      }
    }
    for (let j = 0; j < tasks; j++) {
      for (let k = 0; k < j; k++) {
        [matrix[j][k], matrix[k][j]] = [matrix[k][j], matrix[j][k]];
      }
    }
  }
  const values = symmetricEigenvalues(matrix).map((value) => 1 - (2 - sum) * value);
  return values.sort((a, b) => b - a);
}

/** Eigenvalues of a symmetric matrix, destroyed: Householder's tridiagonal form, then implicit QL. */
export function symmetricEigenvalues(rows) {
  const size = rows.length;
  const diagonal = new Float64Array(size);
  const beside = new Float64Array(size); // beside[k] couples k and k + 1
  const p = new Float64Array(size);
  for (let n = 0; n < size - 2; n++) {
    const v = rows[n];
    let norm = 0;
    for (let k = n + 1; k < size; k++) norm += v[k] * v[k];
    norm = Math.sqrt(norm);
    diagonal[n] = v[n];
    const sign = v[n + 1] > 0 ? -1 : 1;
    beside[n] = sign * norm;
    if (norm === 0) continue;
    v[n + 1] -= beside[n];
    let square = 0;
    for (let k = n + 1; k < size; k++) square += v[k] * v[k];
    if (square === 0) continue;
    let along = 0;
    for (let j = n + 1; j < size; j++) {
      let sum = 0;
      const row = rows[j];
      for (let k = n + 1; k < size; k++) sum += row[k] * v[k];
      p[j] = (2 * sum) / square;
      along += p[j] * v[j];
    }
    along /= square;
    for (let j = n + 1; j < size; j++) p[j] -= along * v[j];
    for (let j = n + 1; j < size; j++) {
      const row = rows[j];
      const [a, b] = [v[j], p[j]];
      for (let k = n + 1; k < size; k++) row[k] -= a * p[k] + b * v[k];
    }
  }
  if (size > 1) {
    diagonal[size - 2] = rows[size - 2][size - 2];
    beside[size - 2] = rows[size - 2][size - 1];
  }
  diagonal[size - 1] = rows[size - 1][size - 1];
  return implicitQL(diagonal, beside);
}

function implicitQL(d, e) {
  const size = d.length;
  for (let l = 0; l < size; l++) {
    for (let turn = 0; turn < 60; turn++) {
      let m = l;
      while (m < size - 1 && Math.abs(e[m]) > 1e-16 * (Math.abs(d[m]) + Math.abs(d[m + 1]))) m++;
      if (m === l) break;
      let g = (d[l + 1] - d[l]) / (2 * e[l]);
      let r = Math.hypot(g, 1);
      g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
      let [s, c, shift] = [1, 1, 0];
      let i = m - 1;
      for (; i >= l; i--) {
        const f = s * e[i];
        const b = c * e[i];
        r = Math.hypot(f, g);
        e[i + 1] = r;
        if (r === 0) {
          d[i + 1] -= shift;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - shift;
        r = (d[i] - g) * s + 2 * c * b;
        shift = s * r;
        d[i + 1] = g + shift;
        g = c * r - b;
      }
      if (r === 0 && i >= l) continue;
      d[l] -= shift;
      e[l] = g;
      e[m] = 0;
    }
  }
  return d;
}
