'use strict';
// Curves tell their values; the contact sheet shows one group at a time; rows and boxes point at each other.
(() => {
  const points = JSON.parse(document.getElementById('points').textContent);
  document.querySelectorAll('svg.chart').forEach((svg, i) => {
    const rows = points[i];
    const said = svg.closest('figure').querySelector('output');
    const cursor = svg.querySelector('.cursor');
    const [line, dot] = [cursor.querySelector('line'), cursor.querySelector('circle')];
    let at = -1;
    const show = (place) => {
      at = Math.max(0, Math.min(rows.length - 1, place));
      const [step, raw, mean, x, y] = rows[at];
      for (const [name, v] of [['x1', x], ['x2', x], ['y1', 8], ['y2', 158]]) line.setAttribute(name, v);
      dot.setAttribute('cx', x);
      dot.setAttribute('cy', y);
      cursor.setAttribute('visibility', 'visible');
      said.textContent = `step ${step}: ${raw}` + (raw === mean ? '' : `, smoothed ${mean}`);
    };
    const hide = () => {
      at = -1;
      cursor.setAttribute('visibility', 'hidden');
      said.textContent = '';
    };
    svg.addEventListener('pointermove', (event) => {
      const frame = svg.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width * 400;
      let best = 0;
      rows.forEach((row, j) => { if (Math.abs(row[3] - x) < Math.abs(rows[best][3] - x)) best = j; });
      show(best);
    });
    svg.addEventListener('pointerleave', hide);
    svg.addEventListener('blur', hide);
    svg.addEventListener('keydown', (event) => {
      const far = Math.max(1, Math.round(rows.length / 20));
      const moves = { ArrowLeft: -1, ArrowRight: 1, PageDown: -far, PageUp: far, Home: -rows.length, End: rows.length };
      if (!(event.key in moves)) return;
      event.preventDefault();
      show((at < 0 ? rows.length - 1 : at) + moves[event.key]);
    });
  });

  const groups = [...document.querySelectorAll('.group')];
  const pager = document.querySelector('.pager');
  if (pager) {
    const slider = pager.querySelector('input');
    const said = pager.querySelector('output');
    const turn = (to) => {
      const at = Math.max(0, Math.min(groups.length - 1, to));
      slider.value = at;
      groups.forEach((group, i) => { group.hidden = i !== at; });
      said.textContent = `step ${groups[at].dataset.step} (${at + 1} of ${groups.length})`;
      slider.setAttribute('aria-valuetext', said.textContent);
    };
    slider.addEventListener('input', () => turn(slider.valueAsNumber));
    pager.querySelector('.back').addEventListener('click', () => turn(slider.valueAsNumber - 1));
    pager.querySelector('.on').addEventListener('click', () => turn(slider.valueAsNumber + 1));
    pager.hidden = groups.length < 2;
    turn(0);
  }
  for (const group of groups) {
    const picture = group.querySelector('.picture');
    const all = [...group.querySelectorAll('[data-rollout]')];
    const mark = (which) => {
      picture.classList.toggle('some', which !== null);
      for (const one of all) one.classList.toggle('this', one.dataset.rollout === which);
    };
    for (const one of all) {
      one.addEventListener('pointerenter', () => mark(one.dataset.rollout));
      one.addEventListener('pointerleave', () => mark(null));
      one.addEventListener('focus', () => mark(one.dataset.rollout));
      one.addEventListener('blur', () => mark(null));
    }
  }
})();
