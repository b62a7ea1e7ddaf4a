//! stub
#![allow(unsafe_code)]
use super::entry::*;
use super::slab::Slab;
use crate::types::*;
use std::collections::BTreeMap;
use std::hash::BuildHasher;
pub struct Store {
    map: BTreeMap<u64, Packed>,
    slab: Slab,
    hasher: ahash::RandomState,
    expires: usize,
}
pub struct Removed(Option<Box<Object>>, Option<Vec<u8>>, Option<i64>, Encoding, Option<i64>);
impl Removed {
    pub fn into_object(self) -> Option<Box<Object>> {
        self.0
    }
    pub fn expiry(&self) -> Option<i64> {
        self.4
    }
}
unsafe impl Send for Store {}
impl Store {
    pub fn new(hasher: ahash::RandomState) -> Self {
        Store { map: BTreeMap::new(), slab: Slab::default(), hasher, expires: 0 }
    }
    pub fn len(&self) -> usize {
        self.map.len()
    }
    pub fn expires(&self) -> usize {
        self.expires
    }
    pub fn bytes(&self) -> usize {
        self.slab.bytes()
    }
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash_one(key)
    }
    pub fn prefetch_bucket(&self, _: u64) {}
    pub fn prefetch_entry(&self, _: u64) {}
    pub fn find(&self, key: &[u8]) -> Option<&Entry> {
        self.map.get(&self.hash(key)).map(|p| unsafe { p.get() })
    }
    pub fn find_mut(&mut self, key: &[u8]) -> Option<&mut Entry> {
        let h = self.hash(key);
        self.map.get(&h).map(|p| unsafe { p.get_mut() })
    }
    fn draft(&mut self, hash: u64, d: Draft) -> Option<Removed> {
        let n = d.bytes();
        let e = d.expiry.is_some();
        let s = self.slab.alloc(n);
        unsafe { d.write(s) };
        let key = unsafe { Packed::new(s, e, false, false).get() }.key().to_vec();
        let old = self.remove(&key);
        if e {
            self.expires += 1
        }
        self.map.insert(hash, Packed::new(s, e, false, false));
        old
    }
    pub fn set_string(
        &mut self,
        hash: u64,
        key: &[u8],
        value: &[u8],
        encoding: Encoding,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        if value.len() > 500 {
            return self.set_object(hash, key, Box::new(Object::Bytes(value.to_vec())), expiry, access);
        }
        self.draft(
            hash,
            Draft { key, payload: Payload::Inline(value), kind: Type::String, encoding, expiry, access },
        )
    }
    pub fn set_int(
        &mut self,
        hash: u64,
        key: &[u8],
        value: i64,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        self.draft(
            hash,
            Draft {
                key,
                payload: Payload::Int(value),
                kind: Type::String,
                encoding: Encoding::Int,
                expiry,
                access,
            },
        )
    }
    pub fn set_object(
        &mut self,
        hash: u64,
        key: &[u8],
        o: Box<Object>,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        self.draft(
            hash,
            Draft {
                key,
                payload: Payload::Boxed(o),
                kind: Type::String,
                encoding: Encoding::Raw,
                expiry,
                access,
            },
        )
    }
    pub fn put(
        &mut self,
        hash: u64,
        key: &[u8],
        v: Removed,
        expiry: Option<i64>,
        access: u32,
    ) -> Option<Removed> {
        if let Some(o) = v.0 {
            return self.set_object(hash, key, o, expiry, access);
        }
        if let Some(i) = v.2 {
            return self.set_int(hash, key, i, expiry, access);
        }
        self.set_string(hash, key, &v.1.unwrap(), v.3, expiry, access)
    }
    pub fn set_expiry(&mut self, key: &[u8], expiry: Option<i64>) -> bool {
        let h = self.hash(key);
        let Some(r) = self.remove(key) else { return false };
        self.put(h, key, r, expiry, 0);
        true
    }
    pub fn remove(&mut self, key: &[u8]) -> Option<Removed> {
        let h = self.hash(key);
        let p = self.map.remove(&h)?;
        if p.expires() {
            self.expires -= 1
        }
        let e = unsafe { p.get_mut() };
        let mut r = Removed(None, None, None, e.encoding(), e.expiry());
        match e.value() {
            Value::Int(i) => r.2 = Some(i),
            Value::Bytes(b) => r.1 = Some(b.to_vec()),
            _ => {}
        }
        r.0 = e.take_object();
        Some(r)
    }
    pub fn scan(&self, cursor: u64, f: &mut dyn FnMut(&Entry)) -> u64 {
        let mut n = 0;
        for (k, p) in self.map.range(cursor << 28..) {
            if n == 10 {
                return k >> 28;
            }
            n += 1;
            f(unsafe { p.get() })
        }
        0
    }
    pub fn random(&self, rng: &mut dyn FnMut() -> u64) -> Option<&Entry> {
        let h = rng();
        self.map.range(h..).next().or_else(|| self.map.iter().next()).map(|(_, p)| unsafe { p.get() })
    }
    pub fn sample_expiring(&self, pos: &mut u64, _b: usize, f: &mut dyn FnMut(&Entry)) {
        for (_, p) in self.map.iter() {
            if p.expires() {
                f(unsafe { p.get() })
            }
        }
        *pos = 0;
    }
    pub fn free_slice(&mut self, _n: usize) -> bool {
        self.map.clear();
        true
    }
}
