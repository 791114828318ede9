// The page shows what the server's events tell and asks the server for what its
// buttons say. What comes from the server is text: it is never read as HTML.
'use strict';

const longest = 150; // rows of the log that are kept
const single = 5; // rows of one kind that stand for themselves; those after them fold into one
const folded = 500; // rows that are kept in a fold

const lanes = {
  cbr: 'CBR', login: 'IAM', retry: 'Function', outcome: 'Function', log: 'Function', result: 'Topic', topic: 'Topic',
  answered: 'Answer', queue: 'Queue', dead: 'Queue', switch: 'Sandbox', invoked: 'Payload',
};
// A sign beside each status, so that none is told by its colour alone.
const signs = {
  accepted: '✓', unchanged: '=', rejected: '✕', failed: '!', redelivered: '↩', error: '!', copying: '…', completed: '✓', partial: '!',
  planned: '→', skipped: '–', current: '✓', stale: '!', never: '✕',
};

const $ = (id) => document.getElementById(id);

// element makes an element of a class, with text or other elements in it.
function element(name, className, ...content) {
  const e = document.createElement(name);
  if (className) e.className = className;
  e.append(...content.filter((c) => c !== null && c !== ''));
  return e;
}

// chip shows a status, with how many have it if these are several.
function chip(status, count = 1) {
  const sign = element('span', '', signs[status] ?? '·');
  sign.setAttribute('aria-hidden', 'true');
  const c = element('span', 'chip', sign, count > 1 ? ` ${count.toLocaleString()} ${status}` : ' ' + status);
  c.dataset.status = status;
  return c;
}

function vaultName(id) {
  if (!id) return null;
  const v = element('code', 'vault', id.slice(0, 8));
  v.title = 'vault ' + id;
  return v;
}

// pretty gives a JSON document lines; anything else stays as it is.
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// expandable is a row that opens to its document, made when it is first asked for.
function expandable(row, detail, name) {
  const d = element('details', '', element('summary', '', ...row));
  d.addEventListener('toggle', () => {
    if (!d.open || d.querySelector('pre')) return;
    const document_ = element('pre', '', pretty(detail));
    document_.tabIndex = 0; // it scrolls, so the keyboard must get there
    document_.setAttribute('role', 'region');
    document_.setAttribute('aria-label', name);
    d.append(document_);
  });
  return d;
}

// Rows of one kind, one after the other or in one invocation, fold into one once there are more than a few.
class Folds {
  #kinds = new Map();

  // add puts a row of a kind into a list, as its first or its last, or into the kind's fold there.
  add(list, row, e, first) {
    const key = e.step + ' ' + (e.status ?? '');
    const kind = this.#kinds.get(key) ?? { rows: 0 };
    this.#kinds.set(key, kind);
    kind.rows++;
    const place = (to, r) => first ? to.prepend(r) : to.append(r);
    if (kind.rows <= single) {
      place(list, row);
      return;
    }
    if (!kind.fold) {
      kind.count = element('span', 'text');
      kind.list = element('ol', 'steps');
      kind.fold = element('li', 'fold', element('details', '', element('summary', '', first ? clock(e.time) : element('span', 'since', '…'),
        element('span', 'lane', lanes[e.step] ?? e.step), e.status ? chip(e.status) : null, kind.count), kind.list));
      kind.fold.classList.add(...row.classList);
      kind.fold.dataset.step = e.step;
      place(list, kind.fold);
    }
    kind.count.textContent = (kind.rows - single).toLocaleString() + ' more';
    if (kind.list.children.length < folded) place(kind.list, row);
  }
}

// The log: one card for each invocation, one line for whatever else happens, the latest first.
const cards = new Map(); // by number of the invocation
let lines = { kind: '', folds: new Folds() }; // those since the last card, or since another kind
let live = false; // what comes is news, not history

function showEntry(e) {
  if (e.invocation) {
    showStep(e);
  } else {
    const row = [clock(e.time), element('span', 'lane', lanes[e.step] ?? e.step), vaultName(e.vault),
      e.status ? chip(e.status) : null, element('span', 'text', e.text)];
    const li = element('li', 'line', e.detail ? expandable(row, e.detail, 'Message') : element('div', 'plain', ...row));
    li.dataset.step = e.step;
    const kind = e.step + ' ' + (e.status ?? '');
    if (lines.kind !== kind) lines = { kind, folds: new Folds() };
    lines.folds.add($('log'), li, e, true);
  }
  while ($('log').children.length > longest) {
    cards.delete(Number($('log').lastElementChild.dataset.invocation));
    $('log').lastElementChild.remove();
  }
  if (live) announce(e);
}

function clock(time) {
  const t = element('time', '', new Date(time).toLocaleTimeString([], { hourCycle: 'h23' }));
  t.dateTime = time;
  return t;
}

function card(e) {
  let c = cards.get(e.invocation);
  if (c) return c;
  if (e.look) forgetLook();
  else for (const earlier of cards.values()) fold(earlier);
  c = { look: e.look, began: new Date(e.time), outcomes: {}, chips: element('span', 'chips'), steps: element('ol', 'steps'), folds: new Folds() };
  const title = element('h3', '', e.step === 'invoked' ? e.text : 'Invocation ' + e.invocation);
  const summary = element('summary', '', clock(e.time), title, c.chips);
  summary.addEventListener('click', () => c.chosen = true);
  c.details = element('details', '', summary, c.steps);
  c.details.open = !e.look; // there are many, and the copies show what they found
  c.item = element('li', 'card', c.details);
  c.item.dataset.invocation = e.invocation;
  c.item.dataset.running = 'true';
  if (e.look) c.item.dataset.look = 'true';
  cards.set(e.invocation, c);
  lines = { kind: '', folds: new Folds() };
  $('log').prepend(c.item);
  return c;
}

// forgetLook removes the latest card if it is a look that saw no end, and nobody looks into it: the next look tells the same.
function forgetLook() {
  const number = Number($('log').firstElementChild?.dataset.invocation);
  const c = cards.get(number);
  if (!c?.look || c.details.open || c.item.contains(document.activeElement) || Object.keys(c.outcomes).join() !== 'copying') return;
  cards.delete(number);
  c.item.remove();
}

// fold closes a card that nobody opened, closed or looks into.
function fold(c) {
  if (c.chosen || c.steps.querySelector('details[open]') || c.item.contains(document.activeElement)) return;
  c.details.open = false;
}

function showStep(e) {
  const c = card(e);
  const since = Math.max(0, new Date(e.time) - c.began) / 1000;
  const text = e.step === 'invoked' ? brief(e.detail) : e.text;
  const row = [element('span', 'since', '+' + since.toFixed(2) + ' s'), element('span', 'lane', lanes[e.step] ?? e.step),
    vaultName(e.vault), e.status ? chip(e.status) : null, element('span', 'text', text)];
  const li = element('li', '', e.detail ? expandable(row, e.detail, lanes[e.step] ?? e.step) : element('div', 'plain', ...row));
  li.dataset.step = e.step;
  c.folds.add(c.steps, li, e, false);
  if (e.step === 'outcome') c.outcomes[e.status] = (c.outcomes[e.status] ?? 0) + 1;
  if (e.step === 'answered') {
    c.outcomes = e.outcomes ?? {};
    if (e.status && !Object.keys(c.outcomes).length) c.outcomes[e.status] = 1;
    c.item.dataset.running = 'false';
  }
  c.chips.replaceChildren(...Object.entries(c.outcomes).map(([status, count]) => chip(status, count)));
}

// brief is the beginning of a document, on one line.
function brief(text) {
  const line = text.replace(/\s+/g, ' ');
  return line.length > 80 ? line.slice(0, 80) + '…' : line;
}

// announce tells a screen reader of ends, not of each step on the way.
function announce(e) {
  const of = e.vault ? ', vault ' + e.vault.slice(0, 8) : '';
  if (e.step === 'outcome' && e.status !== 'copying') $('announced').textContent = e.status + of + (e.text ? ': ' + e.text : '');
  if (e.step === 'dead') $('announced').textContent = e.text + of;
}

// The queue and its dead letters. A message's element stays while the message does, with its focus and what is open.
function showMessages(list, count, messages) {
  const shown = new Map([...list.children].map((li) => [li.dataset.id, li]));
  for (const m of messages) {
    let li = shown.get(m.id);
    shown.delete(m.id);
    if (!li) {
      const row = [element('code', 'message', m.id.slice(0, 8)), vaultName(m.vault), m.group ? element('span', 'group', 'group ' + m.group) : null,
        element('span', 'text')];
      li = element('li', '', expandable(row, m.body, 'Body of message ' + m.id.slice(0, 8)));
      li.dataset.id = m.id;
      list.append(li);
    }
    li.querySelector('.text').textContent = m.state;
  }
  for (const li of shown.values()) li.remove();
  count.textContent = messages.length;
}

// The copies: a row with a bar for each backup, below its request. An element stays while its copy does, as those of messages do.
function showCopies(requests) {
  keep($('copies'), requests, newRequest, (li, r) => {
    const status = li.querySelector('.status');
    if (status.dataset.status !== r.status) {
      status.dataset.status = r.status;
      status.replaceChildren(chip(r.status));
    }
    li.querySelector('.text').textContent = r.text;
    li.querySelector('button').disabled = !r.copies.some((c) => c.running);
    keep(li.querySelector('ul'), r.copies.map((c) => ({ ...c, id: c.record })), newCopy, (row, c) => {
      row.querySelector('progress').value = c.progress;
      row.querySelector('.text').textContent = c.text;
      const over = { fail: !c.running, stall: !c.running || c.stalled, delete: c.deleted };
      for (const b of row.querySelectorAll('button')) b.disabled = over[b.dataset.do];
    });
  });
  $('copies-count').textContent = requests.reduce((n, r) => n + r.copies.length, 0);
}

// keep makes the elements of a list those of items, in their order. Elements that stay keep the focus.
function keep(list, items, make, show) {
  const shown = new Map([...list.children].map((li) => [li.dataset.id, li]));
  let after = null;
  for (const item of items) {
    let li = shown.get(item.id);
    shown.delete(item.id);
    if (!li) {
      li = make(item);
      li.dataset.id = item.id;
      if (after) after.after(li);
      else list.prepend(li);
    }
    show(li, item);
    after = li;
  }
  for (const li of shown.values()) li.remove();
}

function newRequest(r) {
  const name = vaultName(r.vault);
  const li = element('li', 'copied', element('div', '', name, element('span', 'group', 'to ' + r.region), element('span', 'status'),
    element('span', 'text'), change('Fail all', 'fail', 'Fail all copies of vault ' + name.textContent, () => r.copies.map((c) => c.record))));
  li.append(element('ul'));
  return li;
}

function newCopy(c) {
  const of = 'copy of backup ' + c.backup.slice(0, 8);
  const bar = element('progress');
  bar.max = 100;
  bar.setAttribute('aria-label', of);
  const name = element('code', 'backup', c.backup.slice(0, 8));
  name.title = 'backup ' + c.backup;
  const records = () => [c.record];
  return element('li', 'copy', name, bar, element('span', 'text'), change('Fail', 'fail', 'Fail the ' + of, records),
    change('Stall', 'stall', 'Stall the ' + of, records), change('Delete backup', 'delete', 'Delete backup ' + c.backup.slice(0, 8), records));
}

// row makes a table's row, whose first cell is its head.
function row(...classes) {
  return element('tr', '', ...classes.map((name, i) => {
    const cell = element(i ? 'td' : 'th', name);
    if (!i) cell.scope = 'row';
    return cell;
  }));
}

// setStatus shows a status in an element, if it has changed.
function setStatus(cell, status) {
  if (cell.dataset.status === status) return;
  cell.dataset.status = status;
  cell.replaceChildren(chip(status));
}

// The latest plan: a row for each vault.
function showPlan(plan) {
  $('plan-panel').hidden = !plan.id;
  $('plan-text').textContent = plan.text;
  $('plan-count').textContent = plan.vaults.length;
  keep($('plan'), plan.vaults, (v) => {
    const tr = row('of', 'to', 'status', 'far');
    const name = element('code', 'vault', v.id.slice(0, 8));
    name.title = 'vault ' + v.id;
    tr.querySelector('.of').append(name, ' ' + v.name);
    return tr;
  }, (tr, v) => {
    tr.querySelector('.to').textContent = v.destination.slice(0, 8);
    setStatus(tr.querySelector('.status'), v.status);
    tr.querySelector('.far').textContent = v.text;
  });
}

// The checks: a row with a bar for each vault, its replica's age against what is allowed.
function showChecks(checks) {
  $('checks-panel').hidden = !checks.length;
  const counts = {};
  for (const c of checks) counts[c.status] = (counts[c.status] ?? 0) + 1;
  $('checks-summary').replaceChildren(...Object.entries(counts).map(([status, count]) => chip(status, count)));
  keep($('checks'), checks, (c) => {
    const tr = row('status', 'of', 'to', 'age', 'when');
    tr.querySelector('.of').append(vaultName(c.vault));
    const bar = element('progress');
    bar.max = 100;
    bar.setAttribute('aria-label', 'age of the replica of vault ' + c.vault.slice(0, 8) + ' in percent of what is allowed');
    tr.querySelector('.age').append(bar, element('span', 'old'));
    return tr;
  }, (tr, c) => {
    setStatus(tr.querySelector('.status'), c.status);
    tr.querySelector('.to').textContent = c.destination.slice(0, 8);
    const bar = tr.querySelector('progress');
    const over = c.age !== null && c.age > c.limit;
    bar.hidden = c.age === null;
    bar.value = c.limit ? Math.min(100, 100 * (c.age ?? 0) / c.limit) : 0;
    bar.dataset.over = String(over);
    tr.querySelector('.old').textContent = age(c, over);
    tr.querySelector('.when').textContent = c.checked ? duration(c.checked) + ' ago' : 'now';
  });
}

// age says how old a replica is.
function age(c, over) {
  if (c.age === null) return c.limit ? 'no replica, limit ' + duration(c.limit) : c.text;
  return duration(c.age) + ' of ' + duration(c.limit) + (over ? ', over the limit' + (c.status === 'current' ? ' since the check' : '') : '');
}

// duration is a number of minutes for people, as in the page of make report.
function duration(minutes) {
  if (minutes >= 48 * 60) return `${Math.floor(minutes / 1440)} d ${Math.floor(minutes / 60) % 24} h`;
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : minutes + ' min';
}

// change is a button that does something to copies.
function change(text, what, name, records) {
  const b = element('button', '', text);
  b.type = 'button';
  b.dataset.do = what;
  b.setAttribute('aria-label', name);
  b.addEventListener('click', () => ask('copies', JSON.stringify({ do: what, records: records() })));
  return b;
}

function showSwitch(of, setting) {
  const state = $(of + '-state');
  const option = [...$(of + '-fault').options].find((o) => o.value === setting.name);
  const times = setting.left < 0 ? 'until switched off' : 'next ' + setting.left;
  state.textContent = option ? option.textContent + ', ' + times : 'works';
  state.dataset.on = String(Boolean(option));
}

function listen() {
  const events = new EventSource('events');
  const connection = (text, on) => {
    $('connection').textContent = text;
    $('connection').dataset.on = on;
  };
  events.addEventListener('open', () => connection('connected', true));
  events.addEventListener('error', () => connection('not connected: is make serve running?', false));
  events.addEventListener('reset', () => {
    live = false;
    cards.clear();
    lines = { kind: '', folds: new Folds() };
    $('log').replaceChildren();
  });
  events.addEventListener('entry', (m) => showEntry(JSON.parse(m.data)));
  events.addEventListener('state', (m) => {
    live = true;
    const state = JSON.parse(m.data);
    showMessages($('queue'), $('queue-count'), state.queue);
    showMessages($('dead'), $('dead-count'), state.dead);
    showSwitch('cbr', state.faults.cbr);
    showSwitch('topic', state.faults.topic);
  });
  events.addEventListener('plan', (m) => showPlan(JSON.parse(m.data)));
  events.addEventListener('checks', (m) => showChecks(JSON.parse(m.data)));
  events.addEventListener('copies', (m) => showCopies(JSON.parse(m.data)));
}

// ask posts to the server and says what came of it, if it is a refusal.
async function ask(path, body, done) {
  const says = $('sent');
  says.textContent = done ?? '';
  try {
    const answer = await fetch(path, { method: 'POST', body });
    if (answer.ok) return;
    const document_ = await answer.json().catch(() => ({}));
    says.textContent = 'Refused: ' + (document_.message ?? document_.Message ?? document_.error_msg ?? answer.status);
  } catch {
    says.textContent = 'The sandbox cannot be reached.';
  }
}

async function loadSample() {
  const name = $('sample').value;
  const answer = await fetch('samples/' + encodeURIComponent(name)).catch(() => null);
  if (!answer?.ok) {
    $('sent').textContent = 'The sample cannot be read.';
    return;
  }
  const text = await answer.text();
  if ($('sample').value !== name) return; // another was chosen meanwhile
  $('payload').value = text;
  $('payload').scrollTop = 0;
  edited();
}

// edited keeps the payload for a page that is loaded again, as long as the tab is open.
function edited() {
  suggest();
  try {
    sessionStorage.setItem('sample', $('sample').value);
    sessionStorage.setItem('payload', $('payload').value);
  } catch {
    // It is larger than what a browser keeps, or the browser keeps nothing.
  }
}

// restore puts back what was kept, and reports whether there was something.
function restore() {
  let payload = null;
  try {
    payload = sessionStorage.getItem('payload');
    $('sample').value = sessionStorage.getItem('sample') ?? $('sample').value;
  } catch {
    return false;
  }
  if (payload === null) return false;
  $('payload').value = payload;
  suggest();
  return true;
}

// suggest makes the usual way of the payload the prominent one.
function suggest() {
  const text = $('payload').value;
  const queue = /"eventSource"\s*:\s*"aws:sqs"/.test(text) || (/"select"\s*:/.test(text) && !/"dry_run"\s*:\s*true/.test(text));
  $('to-queue').classList.toggle('primary', queue);
  $('to-function').classList.toggle('primary', !queue);
}

function wire() {
  const toQueue = () => ask('queue', $('payload').value, 'Put into the queue.');
  const toFunction = () => ask('2015-03-31/functions/function/invocations', $('payload').value, 'Sent to the function.');
  $('sample').addEventListener('change', loadSample);
  $('payload').addEventListener('input', edited);
  $('payload').addEventListener('keydown', (e) => {
    if (e.key !== 'Enter' || !(e.ctrlKey || e.metaKey)) return;
    e.preventDefault();
    if ($('to-queue').classList.contains('primary')) toQueue();
    else toFunction();
  });
  $('to-queue').addEventListener('click', toQueue);
  $('to-function').addEventListener('click', toFunction);
  $('redrive').addEventListener('click', () => ask('redrive'));
  $('backups').addEventListener('click', () => ask('backups'));
  $('move-on').addEventListener('click', () => ask('time'));
  $('revoke-token').addEventListener('click', () => ask('revoke-token'));
  $('start-over').addEventListener('click', () => ask('start-over'));
  for (const form of document.forms) {
    const turn = (name) => ask('faults', JSON.stringify({ of: form.dataset.of, name, times: Number(form.elements.times.value) }));
    form.addEventListener('submit', (e) => {
      e.preventDefault();
      turn(form.elements.name.value);
    });
    form.querySelector('.off').addEventListener('click', () => turn(''));
  }
}

wire();
listen();
if (!restore()) loadSample();

// On a small screen the panels of faults are closed, so that what happened is not far below.
const wide = matchMedia('(min-width: 60rem)');
const fit = () => document.querySelectorAll('details.panel').forEach((d) => d.open = wide.matches);
wide.addEventListener('change', fit);
fit();
