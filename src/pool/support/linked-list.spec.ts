import { beforeEach, describe, expect, it } from '@jest/globals';
import { LinkedList } from './linked-list.js';
import type { Linked } from './linked-list.js';

class Item implements Linked<Item> {
  previous: Item | undefined;
  next: Item | undefined;
}

let list: LinkedList<Item>;
let items: [Item, Item, Item];
beforeEach(() => {
  list = new LinkedList();
  items = [new Item(), new Item(), new Item()];
  for (const item of items) list.append(item);
});

describe('LinkedList', () => {
  it('iterates in the order in which elements were appended', () => {
    expect([...list]).toEqual(items);
    expect([list.length, list.head, list.tail]).toEqual([3, items[0], items[2]]);
  });

  it('removes an element from any position and clears its links', () => {
    const [first, middle, last] = items;
    list.remove(middle);
    expect([[...list], middle.previous, middle.next]).toEqual([[first, last], undefined, undefined]);
    list.remove(last);
    expect([list.head, list.tail]).toEqual([first, first]);
    list.remove(first);
    expect([list.length, list.head, list.tail]).toEqual([0, undefined, undefined]);
  });

  it('allows the current element to be removed during an iteration', () => {
    const seen: Item[] = [];
    for (const item of list) {
      seen.push(item);
      list.remove(item);
    }
    expect(seen).toEqual(items);
    expect(list.length).toBe(0);
  });
});
