"""The shop: one program for all its services, each by its name.

    shop.py NAME

A service listens on $PORT and calls those whose addresses its environment has. They speak JSON over HTTP to each other,
where the shop that this follows speaks gRPC.
"""

from __future__ import annotations

import html
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from web import CallError, Page, Query, call, redis, serve

PRODUCTS = (
    {"id": "OLJCESPC7Z", "name": "Sunglasses", "price": 19.99},
    {"id": "66VCHSJNUP", "name": "Tank Top", "price": 18.99},
    {"id": "1YMWWN1N4O", "name": "Watch", "price": 109.99},
    {"id": "L9ECAV7KIM", "name": "Loafers", "price": 89.99},
    {"id": "LS4PSXUNUM", "name": "Salt and Pepper Shakers", "price": 18.49},
)
RATES = {"USD": 1.0, "EUR": 0.92, "JPY": 151.0, "GBP": 0.79}
USER = "visitor"


def address(name: str) -> str:
    """Where a service is: `CART_SERVICE_ADDR` and the like."""
    return os.environ[name]


def catalog() -> dict[str, Page]:
    """What there is to buy."""
    return {"/products": lambda _: list(PRODUCTS)}


def currency() -> dict[str, Page]:
    """Prices in other currencies."""

    def convert(query: Query) -> Any:
        return {"amount": round(float(query["amount"]) * RATES[query.get("to", "USD")], 2)}

    return {"/currencies": lambda _: list(RATES), "/convert": convert}


def cart() -> dict[str, Page]:
    """What visitors have chosen, kept in redis."""
    store = address("REDIS_ADDR")

    def items(query: Query) -> list[str]:
        return list(json.loads(redis(store, "GET", f"cart:{query['user']}") or "[]"))

    def add(query: Query) -> list[str]:
        now = [*items(query), query["product"]]
        redis(store, "SET", f"cart:{query['user']}", json.dumps(now))
        return now

    def empty(query: Query) -> list[str]:
        redis(store, "DEL", f"cart:{query['user']}")
        return []

    return {"/items": items, "/add": add, "/empty": empty}


def recommendation() -> dict[str, Page]:
    """What else a visitor may like."""

    def recommend(query: Query) -> list[str]:
        products = call(address("PRODUCT_CATALOG_SERVICE_ADDR"), "/products")
        return [one["id"] for one in products if one["id"] != query.get("product")][:4]

    return {"/recommend": recommend}


def shipping() -> dict[str, Page]:
    """What sending costs, and sending."""
    return {
        "/quote": lambda query: {"cost": 8.99 if int(query["count"]) else 0.0},
        "/ship": lambda _: {"tracking": token()},
    }


def payment() -> dict[str, Page]:
    """Takes the money."""
    return {"/charge": lambda query: {"transaction": token(), "amount": float(query["amount"])}}


def email() -> dict[str, Page]:
    """Tells the visitor."""
    return {"/confirm": lambda query: {"sent": query["order"]}}


def ads() -> dict[str, Page]:
    """Tells everybody."""
    return {"/ads": lambda _: [{"text": "Watch for sale. Buy one, get second kit for free."}]}


def checkout() -> dict[str, Page]:
    """Buys what is in the cart: asks six other services."""

    def place(query: Query) -> Any:
        user = query["user"]
        bought = call(address("CART_SERVICE_ADDR"), "/items", user=user)
        products = {one["id"]: one for one in call(address("PRODUCT_CATALOG_SERVICE_ADDR"), "/products")}
        cost = call(address("SHIPPING_SERVICE_ADDR"), "/quote", count=str(len(bought)))["cost"]
        total = sum(products[one]["price"] for one in bought) + cost
        asked = call(
            address("CURRENCY_SERVICE_ADDR"), "/convert", amount=str(total), to=query.get("currency", "USD")
        )
        paid = call(address("PAYMENT_SERVICE_ADDR"), "/charge", amount=str(asked["amount"]))
        sent = call(address("SHIPPING_SERVICE_ADDR"), "/ship")
        call(address("CART_SERVICE_ADDR"), "/empty", user=user)
        order = token()
        call(address("EMAIL_SERVICE_ADDR"), "/confirm", order=order)
        return {"order": order, "items": bought, **paid, **sent}

    return {"/place": place}


def frontend() -> dict[str, Page]:
    """The pages."""

    def home(query: Query) -> str:
        products = call(address("PRODUCT_CATALOG_SERVICE_ADDR"), "/products")
        unit = query.get("currency", "USD")
        rows = []
        for one in products:
            price = call(address("CURRENCY_SERVICE_ADDR"), "/convert", amount=str(one["price"]), to=unit)[
                "amount"
            ]
            rows.append(f"<li>{html.escape(one['name'])}: {unit} {price}</li>")
        in_cart = len(call(address("CART_SERVICE_ADDR"), "/items", user=USER))
        ad = call(address("AD_SERVICE_ADDR"), "/ads")[0]["text"]
        body = f"<h1>Hot Products</h1><ul>{''.join(rows)}</ul><p>Cart ({in_cart})</p><p>{html.escape(ad)}</p>"
        return f"<!DOCTYPE html>\n<html><head><title>Shop</title></head><body>{body}</body></html>\n"

    def add(query: Query) -> Any:
        others = call(address("RECOMMENDATION_SERVICE_ADDR"), "/recommend", product=query["product"])
        items = call(address("CART_SERVICE_ADDR"), "/add", user=USER, product=query["product"])
        quote = call(address("SHIPPING_SERVICE_ADDR"), "/quote", count=str(len(items)))
        return {"cart": items, "recommended": others, "shipping": quote["cost"]}

    def buy(query: Query) -> Any:
        return call(
            address("CHECKOUT_SERVICE_ADDR"), "/place", user=USER, currency=query.get("currency", "USD")
        )

    return {"/": home, "/cart": add, "/cart/checkout": buy, "/_healthz": lambda _: "ok\n"}


def generate_load() -> None:
    """A visitor who looks, chooses and buys, again and again."""
    while True:
        try:
            for path in ("/cart?product=OLJCESPC7Z", "/cart/checkout"):
                where, _, product = path.partition("?product=")
                call(address("FRONTEND_ADDR"), where, **({"product": product} if product else {}))
            print("bought", flush=True)
        except CallError as error:
            print(error, flush=True)
        time.sleep(5)


def token() -> str:
    """A number that nothing else has."""
    return str(uuid.uuid4())


SERVICES: Mapping[str, Callable[[], dict[str, Page]]] = {
    "adservice": ads,
    "cartservice": cart,
    "checkoutservice": checkout,
    "currencyservice": currency,
    "emailservice": email,
    "frontend": frontend,
    "paymentservice": payment,
    "productcatalogservice": catalog,
    "recommendationservice": recommendation,
    "shippingservice": shipping,
}

if __name__ == "__main__":
    name = sys.argv[1]
    if name == "loadgenerator":
        generate_load()
    serve(int(os.environ.get("PORT", "8080")), SERVICES[name]())
