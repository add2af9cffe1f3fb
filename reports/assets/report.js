'use strict';
(() => {
  const $ = id => document.getElementById(id);
  const root = document.documentElement;

  // Theme: as the system says, light, dark.
  const button = $('theme'), themes = ['auto', 'light', 'dark'];
  const recall = () => { try { return localStorage.getItem('firedrill-theme') } catch { return null } };
  const keep = v => { try { localStorage.setItem('firedrill-theme', v) } catch { /* a page on disk may not */ } };
  const dress = v => {
    if (v === 'auto') root.removeAttribute('data-theme'); else root.setAttribute('data-theme', v);
    button.textContent = 'Theme: ' + v;
    button.dataset.now = v;
  };
  const asked = /theme=(light|dark)/.exec(location.hash);
  dress(asked ? asked[1] : themes.includes(recall()) ? recall() : 'auto');
  button.hidden = false;
  button.onclick = () => {
    const next = themes[(themes.indexOf(button.dataset.now) + 1) % 3];
    dress(next); keep(next);
  };

  const tl = $('tl');
  if (!tl) return;
  const from = +tl.dataset.from, to = +tl.dataset.to, whole = to - from;
  const rows = $('rows'), over = tl.querySelector('.over'), cross = $('cross'), tip = $('tip'), lens = $('lens');
  const axis = tl.querySelector('.axis svg'), under = tl.querySelector('.under svg');
  const NS = 'http://www.w3.org/2000/svg';

  // The browser's own tool tips give way to the read-out; the words stay.
  for (const t of rows.querySelectorAll('svg title')) {
    const p = t.parentNode;
    if (p.matches('.bar')) { p.dataset.tip = t.textContent; p.setAttribute('aria-label', t.textContent) }
    else p.setAttribute('aria-label', t.textContent);
    t.remove();
  }

  const trim = (v, d) => v.toFixed(d).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
  const steps = [.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400];
  const label = (t, step) => {
    if (t === 0) return '0';
    const a = Math.abs(t), sign = t < 0 ? '\u2212' : '';
    if (step >= 3600) return sign + trim(a / 3600, 2) + ' h';
    if (step >= 60) return sign + trim(a / 60, 2) + ' min';
    return sign + trim(a, 3) + ' s';
  };
  const moment = t => (t < 0 ? '\u2212' : '+') + trim(Math.abs(t), view.to - view.from < 5 ? 3 : 2) + ' s';
  const make = (name, attrs, text) => {
    const e = document.createElementNS(NS, name);
    for (const k in attrs) e.setAttribute(k, attrs[k]);
    if (text) e.textContent = text;
    return e;
  };

  const fz = +tl.style.getPropertyValue('--fz'), fo = +tl.style.getPropertyValue('--fo');
  const focus = { from: from + whole * fo / fz, to: from + whole * (fo + 1) / fz };
  let view = tl.classList.contains('only-whole') ? { from, to } : focus;

  function show(a, b) {
    let span = Math.min(Math.max(b - a, 0.02), whole);
    a = Math.min(Math.max((a + b) / 2 - span / 2, from), to - span);
    view = { from: a, to: a + span };
    tl.style.setProperty('--z', whole / span);
    tl.style.setProperty('--o', (a - from) / span);
    if (lens) {
      lens.setAttribute('x', 100 * (a - from) / whole + '%');
      lens.setAttribute('width', 100 * span / whole + '%');
    }
    ticks(); words();
  }

  function ticks() {
    for (const g of tl.querySelectorAll('.tf,.tw')) g.remove();
    const width = over.clientWidth || 800, span = view.to - view.from;
    const step = steps.find(s => span / s <= Math.max(width / 90, 3)) || 86400;
    const t = make('g', {}), l = make('g', {});
    t.setAttribute('class', 'tf'); l.setAttribute('class', 'tf');
    t.style.display = l.style.display = 'inline';
    const edge = .012 * span;
    for (let i = Math.ceil((view.from + edge) / step); i * step <= view.to - edge; i++) {
      const x = 100 * (i * step - from) / whole + '%';
      t.append(make('text', { class: 'tick', x, y: 57 }, label(i * step, step)));
      l.append(make('line', { class: 'grid', x1: x, x2: x, y1: 0, y2: '100%' }));
    }
    axis.append(t); under.prepend(l);
  }

  // Text is shown where it has room, at this zoom.
  function words() {
    const box = over.getBoundingClientRect();
    for (const t of rows.querySelectorAll('.bar>text')) {
      t.style.display = 'inline';
      const b = t.parentNode.getBoundingClientRect(), cut = Math.max(box.left - b.left, 0);
      t.setAttribute('x', cut);
      t.style.display = t.getComputedTextLength() + 8 > Math.min(b.right, box.right) - Math.max(b.left, box.left) ? 'none' : 'inline';
    }
    const width = box.width, free = [0, 0, 0];
    for (const t of axis.querySelectorAll('text.mark')) {
      t.style.display = 'inline';
      const w = t.getComputedTextLength() + 10;
      let x = (t.dataset.at - view.from) / (view.to - view.from) * width;
      const end = x + w > width;
      t.setAttribute('text-anchor', end ? 'end' : 'start');
      t.setAttribute('dx', end ? -4 : 4);
      if (end) x -= w;
      const level = x < -w || x > width ? -1 : free.findIndex(f => x >= f);
      if (level < 0) { t.style.display = 'none'; continue }
      free[level] = x + w;
      t.setAttribute('y', 12 + 14 * level);
    }
  }

  const zoom = (k, at = (view.from + view.to) / 2) => show(at - (at - view.from) / k, at + (view.to - at) / k);
  const pan = share => { const d = share * (view.to - view.from); show(view.from + d, view.to + d) };
  const timeAt = x => { const r = over.getBoundingClientRect(); return view.from + (x - r.left) / r.width * (view.to - view.from) };

  tl.querySelector('.scripted').hidden = false;
  const pick = id => { if ($(id)) $(id).checked = true };
  const unpick = () => { for (const r of tl.querySelectorAll('.views input')) r.checked = false };
  if ($('v-focus')) $('v-focus').onchange = () => show(focus.from, focus.to);
  if ($('v-whole')) $('v-whole').onchange = () => show(from, to);
  $('zin').onclick = () => { unpick(); zoom(1.6) };
  $('zout').onclick = () => { unpick(); zoom(1 / 1.6) };
  if ($('worst')) $('worst').onclick = () => { unpick(); show(+tl.dataset.worstFrom, +tl.dataset.worstTo) };
  rows.addEventListener('keydown', e => {
    const act = { ArrowLeft: () => pan(-.2), ArrowRight: () => pan(.2), '+': () => zoom(1.6), '=': () => zoom(1.6), '-': () => zoom(1 / 1.6), '0': () => { pick('v-whole'); show(from, to) } }[e.key];
    if (act) { e.preventDefault(); unpick(); act() }
  });
  rows.addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.metaKey && !e.shiftKey) return;
    e.preventDefault(); unpick();
    if (e.shiftKey) pan((e.deltaX || e.deltaY) / 1000); else zoom(Math.exp(-e.deltaY / 300), timeAt(e.clientX));
  }, { passive: false });
  rows.addEventListener('dblclick', e => { unpick(); zoom(2.5, timeAt(e.clientX)) });

  let drag = null;
  rows.addEventListener('pointerdown', e => { if (e.button === 0 && e.pointerType === 'mouse') drag = { x: e.clientX, view } });
  addEventListener('pointerup', () => { drag = null; rows.style.cursor = '' });
  rows.addEventListener('pointermove', e => {
    const r = over.getBoundingClientRect(), x = e.clientX - r.left;
    if (drag && Math.abs(e.clientX - drag.x) > 3) {
      const d = (drag.x - e.clientX) / r.width * (drag.view.to - drag.view.from);
      rows.style.cursor = 'grabbing'; getSelection().removeAllRanges(); unpick();
      show(drag.view.from + d, drag.view.to + d);
    }
    cross.hidden = tip.hidden = x < 0 || x > r.width;
    if (cross.hidden) return;
    cross.style.left = x + 'px';
    const t = timeAt(e.clientX), on = e.target.closest('[data-tip]');
    const wall = new Date(+tl.dataset.t0 + t * 1000).toISOString().slice(11, 23);
    tip.replaceChildren(Object.assign(document.createElement('b'), { textContent: moment(t) }), ` (${wall} UTC)`);
    if (on) tip.append(document.createElement('br'), on.dataset.tip);
    const box = rows.getBoundingClientRect(), left = e.clientX - box.left;
    tip.style.left = (left > box.width / 2 ? left - tip.offsetWidth - 14 : left + 14) + 'px';
    tip.style.top = Math.min(e.clientY - box.top + 14, box.height - tip.offsetHeight) + 'px';
  });
  rows.addEventListener('pointerleave', () => { cross.hidden = tip.hidden = true });
  addEventListener('resize', () => show(view.from, view.to));
  // Paper shows what the page says without its script.
  addEventListener('beforeprint', () => { for (const d of document.querySelectorAll('details')) if (d.querySelectorAll('.ids span').length <= 40) d.open = true });
  show(view.from, view.to);
})();
